"""The rules of the source tree as data and as functions over syntax trees.

Every rule takes a :class:`Module` and returns complaints in words; an empty list means that the module obeys.
The rules know nothing of the file system, so that the tests can show each of them failing on a few lines.

The package is divided into **rooms** (its direct children). A room that is *pure* computes: values in, values
out, no event loop, socket, clock or chance. :data:`MAY_IMPORT` says which way imports point and
:data:`LIBRARIES` which library is whose.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from attrs import field, frozen

PACKAGE = "cliproxy"


def words(text: str) -> frozenset[str]:
    """Return the words of a table cell."""
    return frozenset(text.split())


PURE = words("errors wire ir dialects config credentials catalog login providers routing")
ENGINE = PURE | words("observe net stores")

# room → the rooms it may import, besides itself. The order is the order of the layers. What catalogue and
# routing take from the hub is its vocabulary: model families, thinking levels.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "wire": words("errors"),
    "ir": words("errors wire"),
    "dialects": words("errors wire ir"),
    "config": words("errors wire"),
    "credentials": words("errors wire config"),
    "catalog": words("errors wire ir config credentials"),
    "login": words("errors wire credentials"),
    "providers": words("errors wire ir dialects config credentials catalog login"),
    "routing": words("errors wire ir config credentials catalog"),
    "observe": words("errors wire"),
    "net": words("errors wire"),
    "stores": words("errors wire config credentials"),
    "exchange": ENGINE,
    "service": ENGINE | words("exchange"),
    "server": ENGINE | words("exchange service"),
    "cli": ENGINE | words("exchange service server"),
}

# The inner parts of these rooms are strangers to each other, except where one is built over the other.
SIDEWAYS: dict[str, dict[str, frozenset[str]]] = {
    "dialects": {
        "codex": words("openai_responses"),
        "xai": words("openai_responses"),
        "gemini_cli": words("gemini"),
        "antigravity": words("gemini"),
        "completions": words("openai_chat"),
        "openai_images": words("openai_chat"),
    },
    "providers": {
        "vertex": words("gemini"),
        "antigravity": words("gemini_cli"),
    },
}

IMPURE = words("observe net stores exchange service server cli")

# libraries → the places that may import them; a place is a room or a file. Others are free.
LIBRARIES: dict[str, frozenset[str]] = {
    library: places
    for libraries, places in {
        "asyncio anyio sniffio requests httpx aiohttp": frozenset[str](),
        "httpx2": words("net/http.py net/websocket.py"),
        "httpcore2": words("net/http.py net/direct.py net/sockets.py"),
        "h11": words("net/callback.py service/connection.py"),
        "h2": words("service/http2.py"),
        "trio": IMPURE - {"observe"},
        "quart quart_trio flask werkzeug": words("server"),
        "hypercorn": words("service server"),
        "json orjson": words("wire/jsontext.py"),
        "yaml": words("config"),
        "secrets": IMPURE | {"login/pkce.py"},
        "socket ssl selectors subprocess threading multiprocessing concurrent": IMPURE,
        "cryptography": words("login/keys.py"),
        "prometheus_client": words("observe/metrics.py"),
        "sqlite3 tempfile shutil time": IMPURE,
    }.items()
    for library in libraries.split()
}

# Calls that read a clock or roll dice, by the name they are written with.
IMPURE_CALLS = words(
    "datetime.now datetime.utcnow datetime.today datetime.datetime.now date.today uuid.uuid1 uuid.uuid4 uuid4"
    " os.urandom os.getenv open"
)

MAX_MODULE_LINES = 700
MAX_FUNCTION_LINES = 60

# room → its explicit tuple of members; the parts beside it are the contract that the members fulfil.
TUPLES = {"dialects": "DIALECTS", "providers": "PROVIDERS"}
NOT_MEMBERS = words("base chat")

# Source modules without a test module of their own, and why.
UNTESTED = {"__init__": "names what the package offers", "__main__": "run as a whole by the end-to-end tests"}

Complaints = list[str]


@frozen(kw_only=True)
class Module:
    """One parsed source file, named by its path below the package: ``wire/sse.py``."""

    path: PurePosixPath
    text: str
    tree: ast.Module = field(repr=False)

    @property
    def room(self) -> str:
        """The part of the package it belongs to; empty for the package's own entry files."""
        first = self.path.parts[0].removesuffix(".py")
        return "" if first in UNTESTED else first

    @property
    def part(self) -> str:
        """The file or folder inside the room: ``claude`` for ``dialects/claude/stream.py``."""
        return self.path.parts[1].removesuffix(".py") if len(self.path.parts) > 1 else ""

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


def parse(path: str, text: str) -> Module:
    """Parse a source text as the module at ``path`` below the package."""
    return Module(path=PurePosixPath(path), text=text, tree=ast.parse(text, path))


def modules_in(package: Path) -> list[Module]:
    """Parse every source file below ``package``."""
    files = sorted(package.rglob("*.py"))
    return [parse(file.relative_to(package).as_posix(), file.read_text(encoding="utf-8")) for file in files]


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything imported; ``from a import b`` is ``a.b``."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}"


# ------------------------------------------------------------------------------------------------ imports


def import_direction(module: Module) -> Complaints:
    """Imports point to the rooms that a room may know, never back, never to a sibling that is a stranger."""
    complaints = []
    for line, name in imports(module):
        if name.startswith("."):
            complaints.append(f"line {line}: relative import {name}")
            continue
        top, *inner = name.split(".")
        if top != PACKAGE or not inner or inner[0] not in MAY_IMPORT or not module.room:
            continue
        room = inner[0]
        if room == module.room:
            complaints += stranger(module, line, inner)
        elif room not in MAY_IMPORT.get(module.room, frozenset()):
            complaints.append(f"line {line}: {module.room} must not import {room} ({name})")
    return complaints


def stranger(module: Module, line: int, inner: list[str]) -> Complaints:
    """Complain when one dialect or provider imports another that is not its base."""
    if module.room not in SIDEWAYS or is_room_index(module) or len(inner) == 1:
        return []
    friends = SIDEWAYS[module.room].get(module.part, frozenset())
    if inner[1] in {module.part, *NOT_MEMBERS} or inner[1] in friends:
        return []
    return [f"line {line}: {module.room}/{module.part} must not import {module.room}/{inner[1]}"]


def is_room_index(module: Module) -> bool:
    """Tell whether this is the ``__init__`` of a room, which lists the members."""
    return module.path.parts[1:] == ("__init__.py",)


def room_is_known(module: Module) -> Complaints:
    """A new room needs a row in the table before it gets a file."""
    if not module.room or module.room in MAY_IMPORT:
        return []
    return [f"{module.room} is not a room of MAY_IMPORT"]


def libraries_at_home(module: Module) -> Complaints:
    """A library is imported only where the table says, so that replacing it changes one place."""
    complaints = []
    for line, name in imports(module):
        library = name.split(".")[0]
        places = LIBRARIES.get(library)
        if places is None or module.room in places or str(module.path) in places:
            continue
        complaints.append(f"line {line}: {library} is for {', '.join(sorted(places)) or 'nobody'} ({name})")
    return complaints


def no_clock_no_chance(module: Module) -> Complaints:
    """Pure rooms take time and randomness as arguments; the type ``random.Random`` may be named."""
    if module.room not in PURE:
        return []
    complaints = [
        f"line {line}: chance is an argument, import only random.Random ({name})"
        for line, name in imports(module)
        if name.split(".")[0] == "random" and name != "random.Random"
    ]
    return complaints + [
        f"line {node.lineno}: {ast.unparse(node.func)}() reads the outside world"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS
    ]


def flags_are_light(module: Module) -> Complaints:
    """``--help`` answers before anything of ours or of others is imported."""
    if str(module.path) != "cli/flags.py":
        return []
    heavy = [(line, name) for line, name in imports(module) if not is_standard(name)]
    return [f"line {line}: the flag table imports the standard library only ({name})" for line, name in heavy]


def is_standard(name: str) -> bool:
    """Tell whether a dotted name belongs to the standard library."""
    return name.partition(".")[0] in sys.stdlib_module_names


# -------------------------------------------------------------------------------------------------- names

# room → rooms whose members it must not name; it sees them through the tuple or the contract only.
ANONYMOUS: dict[str, frozenset[str]] = {
    "routing": frozenset({"providers"}),
    "exchange": frozenset({"providers", "dialects"}),
    "service": frozenset({"providers", "dialects"}),
    "server": frozenset({"providers"}),
}


def members_unnamed(module: Module, members: dict[str, frozenset[str]]) -> Complaints:
    """The engine names no provider (and no dialect), neither in an import nor in a string.

    Adding one must not touch the engine. ``members`` maps a room to the names of its parts.
    """
    hidden = {room: members[room] for room in ANONYMOUS.get(module.room, frozenset())}
    complaints = [
        f"line {line}: {module.room} must not know {inner[1]} of {inner[0]}"
        for line, name in imports(module)
        if len(inner := name.split(".")[1:]) > 1 and inner[1] in hidden.get(inner[0], frozenset())
    ]
    spoken = {name.replace("_", "-") for names in hidden.values() for name in names} | set().union(
        *hidden.values()
    )
    if "dialects" not in hidden:
        spoken -= members["dialects"]  # a room that renders for dialects may say names that providers share
    return complaints + [
        f"line {node.lineno}: {module.room} must not say {node.value!r}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in spoken
    ]


def members_of(room: str, modules: Iterable[Module]) -> frozenset[str]:
    """Return the parts of a room that must stand in its tuple."""
    parts = {module.part for module in modules if module.room == room}
    return frozenset(parts - NOT_MEMBERS - {"__init__"})


def unlisted_members(room: str, modules: list[Module]) -> frozenset[str]:
    """Return the parts of a room that its explicit tuple forgets."""
    packages = [module for module in modules if str(module.path) == f"{room}/__init__.py"]
    listed = listed_members(packages[0], TUPLES[room]) if packages else frozenset()
    return members_of(room, modules) - listed


def listed_members(package: Module, name: str) -> frozenset[str]:
    """Return the parts that the tuple ``name`` of a room's ``__init__`` refers to."""
    origin: dict[str, str] = {}
    for node in ast.walk(package.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = node.module.split(".")[2:]
            for alias in node.names:
                origin[alias.asname or alias.name] = inner[0] if inner else alias.name
    for node in ast.walk(package.tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            names = {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
            return frozenset(origin[found] for found in names if found in origin)
    return frozenset()


# ------------------------------------------------------------------------------------------------- shapes


def sizes(module: Module) -> Complaints:
    """Modules and functions stay readable in one sitting."""
    complaints = []
    lines = module.text.count("\n")
    if lines > MAX_MODULE_LINES:
        complaints.append(f"{lines} lines, more than {MAX_MODULE_LINES}: split it")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                complaints.append(
                    f"line {node.lineno}: {node.name} has {length} lines, more than {MAX_FUNCTION_LINES}"
                )
    return complaints


def has_docstring(module: Module) -> Complaints:
    """Every module says what it is for."""
    return [] if ast.get_docstring(module.tree) else ["no docstring"]


def package_names_its_offer(module: Module) -> Complaints:
    """Every package lists its public names, even if there are none."""
    if not module.is_package:
        return []
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return []
    return ["no __all__"]


def declares_only(module: Module) -> bool:
    """Tell whether a module holds nothing but declarations: no function in it does anything to be tested."""
    functions = [
        node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return not any(isinstance(node, ast.Lambda) for node in ast.walk(module.tree)) and all(
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        for function in functions
        for statement in function.body
    )


def tests_of(module: Module) -> PurePosixPath | None:
    """Return where the module's own tests are, below the tests folder; ``None`` when it needs none."""
    if module.path.stem in UNTESTED or declares_only(module):
        return None
    return module.path.with_name(f"test_{module.path.name}")


RULES = (
    import_direction,
    room_is_known,
    libraries_at_home,
    no_clock_no_chance,
    flags_are_light,
    sizes,
    has_docstring,
    package_names_its_offer,
)
