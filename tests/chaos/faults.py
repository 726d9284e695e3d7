"""What is done to the stack: drawn from a seed, one fault after another."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tests.chaos.parts import Stack
from tests.chaos.points import POINTS
from tests.chaos.proxy import Flow

_WORKERS = ("worker-1", "worker-2")
# kill: SIGKILL of a part or of a child. point: a worker kills itself at a named point. cut: a proxy does it to connections.
KINDS = ("kill", "point", "freeze", "restart", "cut", "flush")
_LONGEST_S = 5.0  # that something is away


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, and for how long it lasts."""

    part: str
    kind: str
    lasts_s: float
    pause_s: float  # before the next one

    @property
    def name(self) -> str:
        return f"{self.part.partition('-')[0]}.{self.kind}"

    @property
    def group(self) -> str:
        """One of KINDS."""
        return "point" if self.kind in POINTS else self.kind.partition("_")[0]


def draw_faults(seed: int, count: int, *, postgres: bool, kinds: Collection[str] = KINDS) -> list[Fault]:
    """The faults of a run; they depend on the arguments alone.

    Args:
        seed: of the draw.
        count: how many.
        postgres: whether there is a PostgreSQL.
        kinds: only these, of KINDS.
    """
    draw = random.Random(f"faults/{seed}")
    choices = [(part, kind) for part, kind in _choices(postgres) if Fault(part, kind, 0.0, 0.0).group in kinds]
    found = []
    for _ in range(count):
        part, kind = draw.choice(choices)
        found.append(Fault(part, kind, lasts_s=draw.uniform(0.2, _LONGEST_S), pause_s=draw.uniform(0.1, 2.0)))
    return found


def _choices(postgres: bool) -> list[tuple[str, str]]:
    servers = ["broker", "serving", *(["postgres"] if postgres else [])]
    found = [(part, "kill") for part in ("api", "beat", *_WORKERS, *_WORKERS, *servers)]
    found += [(part, "kill_child") for part in (*_WORKERS, *_WORKERS)]
    found += [(part, "freeze") for part in ("api", "beat", "broker", "serving", *_WORKERS)]
    found += [(part, "restart") for part in ("api", "beat", *_WORKERS, *servers)]
    found += [(part, f"cut_{flow}") for part in servers for flow in (Flow.DROP, Flow.STALL, Flow.DELAY)]
    found += [("worker", point) for point in POINTS]
    return [*found, ("broker", "flush")]


@dataclass
class Injector:
    """Applies faults, and remembers when each part was back."""

    stack: Stack
    done: Counter[str] = field(default_factory=Counter)
    back_at: list[tuple[str, float]] = field(default_factory=list)

    def apply(self, fault: Fault) -> None:
        """One fault, from its beginning to its end."""
        self._action(fault)()
        self.done[fault.name] += 1
        self.back_at.append((fault.name, time.monotonic()))
        self._revive()
        time.sleep(fault.pause_s)

    def _action(self, fault: Fault) -> Callable[[], None]:
        if fault.kind == "flush":
            return self.stack.flush_broker
        if fault.kind.startswith("cut_"):
            return lambda: self._cut(fault)
        if fault.kind in POINTS:
            return lambda: self._arm(fault)
        part = self.stack.parts[fault.part]
        if fault.kind == "kill_child":
            return part.kill_child
        if fault.kind == "freeze":
            return lambda: self._between(part.freeze, part.thaw, fault)
        return lambda: self._between(part.kill if fault.kind == "kill" else part.stop, part.start, fault)

    def _between(self, begin: Callable[[], None], end: Callable[[], None], fault: Fault) -> None:
        begin()
        time.sleep(fault.lasts_s)
        end()

    def _cut(self, fault: Fault) -> None:
        proxy = self.stack.proxies[fault.part]
        flow = Flow(fault.kind.removeprefix("cut_"))
        self._between(lambda: proxy.set_flow(flow), lambda: proxy.set_flow(Flow.PASS), fault)

    def _arm(self, fault: Fault) -> None:
        """Some process of a worker dies at the point, as soon as one comes to it."""
        trap = self.stack.points / fault.kind
        trap.touch()
        deadline = time.monotonic() + _LONGEST_S
        while trap.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        trap.unlink(missing_ok=True)

    def _revive(self) -> None:
        for name in _WORKERS:
            self.stack.parts[name].restart_if_dead()
