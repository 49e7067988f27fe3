"""Before packing, everything goes that depends on the machine or that no program imports."""

import json

import pyz_stage


def test_what_stays_and_what_goes(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("CLIPROXY_BUILD_COMMIT", "0123456789ab")
    stays = {"lib/__init__.py", "lib/x.so", "lib-1.dist-info/METADATA", "lib/RECORD", "cliproxy/__init__.py"}
    goes = {
        "bin/tool",
        "lib/tests/test_a.py",
        "lib/_tests/data.json",
        "lib/stubs.pyi",
        "lib/__pycache__/a.pyc",
        "lib-1.dist-info/RECORD",
        "lib-1.dist-info/direct_url.json",
    }
    for name in stays | goes:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    pyz_stage.main(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == stays | {"cliproxy/build.json"}
    assert json.loads((tmp_path / "cliproxy/build.json").read_text()) == {
        "built_at": "2023-11-14T22:13:20Z",
        "commit": "0123456789ab",
    }


def test_a_build_without_a_repository_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "315532800")
    pyz_stage.write_build_facts(tmp_path / "build.json")
    assert json.loads((tmp_path / "build.json").read_text())["commit"] == "none"
