"""Node: a machine that runs guests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Literal

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, InputError, NotFound, Refused
from kiln.framework.model import Impact, Model, alias_of, out, prop
from kiln.framework.plan import Change, Plan, compare
from kiln.framework.resource import Created, Found, Resource
from kiln.framework.steps import Step, run
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN
from kiln.ports.nodes import Accelerator, NodeFacts, Prerequisite
from kiln.ports.nodes import Node as ConnectedNode
from kiln.resources.names import Name, Text, check_node_path, split_import_id
from kiln.resources.site import NodeDefaults, Site


class StoragePool(Model):
    """The storage pool that resources on a node use when they state none."""

    name: Name = prop("Name of the libvirt storage pool. It is made when it does not exist.", default="kiln")
    path: str | None = prop(
        "Directory of the pool, used when the pool is made.",
        default_doc="a directory the platform allows guests to use",
    )


class NodePrerequisite(Model):
    """One thing that a node needs, as `kiln doctor` checks it."""

    name: str = out("What was checked.")
    status: Literal["ok", "warn", "fail"] = out("Whether it is as it should be.")
    detail: str = out("What was found.")
    mend: str | None = out("The command or action that puts it right.")


class NodeInputs(Model):
    """Inputs of Node."""

    name: Name = prop("Name of the node in listings.", sticky=True, impact=Impact.LIVE)
    uri: str = prop(
        "The libvirt URI that the node is reached by, such as `qemu:///system` or `qemu+ssh://root@host/system`. "
        "Another URI of the same machine changes nothing on it.",
        impact=Impact.LIVE,
        sticky=True,
        default_doc="the provider's `uri`",
    )
    group: Text | None = prop("Name of a group of nodes this one belongs to, for listings.", impact=Impact.LIVE)
    accelerator: Literal["auto", "kvm", "tcg"] = prop(
        "What executes the code of guests made from now on. `auto` starts a probe guest and takes `kvm` only when "
        "that guest ran.",
        default="auto",
        impact=Impact.LIVE,
    )
    storage_pool: StoragePool | None = prop(
        "The storage pool for resources on this node that state none. An existing pool is used as it is.",
        impact=Impact.LIVE,
        default_doc="the provider's `storagePool`",
    )
    network: Name | None = prop(
        "The libvirt network for servers on this node that state none.",
        impact=Impact.LIVE,
        default_doc="`default`; user-mode networking on a session node",
    )


class NodeState(NodeInputs):
    """State of Node."""

    identity: str = out("The node's identity, `<driver>:<host UUID>`: the same for every URI of the machine.")
    platform: str = out("The driver that runs guests, such as `qemu`.", changes_with=("uri",))
    effective_accelerator: Literal["kvm", "tcg"] = out(
        "What really executes guests' code.", changes_with=("uri", "accelerator")
    )
    accelerator_reason: str = out("Why that accelerator.", changes_with=("uri", "accelerator"))
    hostname: str = out("The node's host name.", changes_with=("uri",))
    arch: str = out("The node's architecture, such as `x86_64`.", changes_with=("uri",))
    cpus: int = out("Number of logical CPUs.", changes_with=("uri",))
    memory: Size = out("Size of the node's memory.", changes_with=("uri",))
    libvirt_version: str = out("Version of libvirt on the node.", changes_with=("uri",))
    emulator_version: str = out("Version of the emulator.", changes_with=("uri",))
    firmwares: list[str] = out("Firmwares that servers can have: `bios`, `efi`.", changes_with=("uri",))
    confinement: list[str] = out(
        "Security models that confine guests, such as `apparmor`, `dac`.", changes_with=("uri",)
    )
    prerequisites: list[NodePrerequisite] = out(
        "What the node needs and whether it has it.", changes_with=("uri", "storage_pool", "network", "accelerator")
    )
    platform_info: dict[str, str] = out("Facts that only this platform has.", changes_with=("uri",))
    stopped_pool: str | None = out(
        "The storage pool, where somebody stopped it; the next `up` starts it.",
        unfinished="the storage pool was stopped, and is started again",
    )


class Node(Resource[NodeInputs, NodeState]):
    """A machine that runs guests: its facts, the accelerator that works on it, and defaults for resources on it.

    Nothing is installed on the machine; Kiln only talks to its libvirt daemon. Deleting a Node removes the storage pool
    when Kiln made it and nothing is left in it.

    ```python
    import pulumi_kiln as kiln

    host = kiln.Node("host", uri="qemu:///system")
    disk = kiln.Disk("data", node=host.uri, size="20GiB")
    ```
    """

    name: ClassVar[str] = "Node"
    Inputs = NodeInputs
    State = NodeState
    delete_first = False
    timeout = 600.0

    def __init__(self, site: Site) -> None:
        self._site = site

    def check(self, ctx: Context, new: NodeInputs, old: NodeInputs | None) -> NodeInputs:
        """Resolve the URI and let resources on it know its defaults."""
        pool: Any = new.storage_pool
        if isinstance(pool, StoragePool) and pool.path is not None and pool.path is not UNKNOWN:
            check_node_path(pool.path, "storagePool.path")
        uri = new.uri if new.uri is not None else self._site.uri
        checked = new.model_copy(update={"uri": uri})
        if uri is not UNKNOWN:
            self._site.nodes.check_uri(uri, "uri")
            self._site.learn(ctx, uri, _defaults(checked))
        return checked

    def diff(self, ctx: Context, id: str, state: NodeState, old: NodeInputs, new: NodeInputs) -> Plan:
        """A URI that leads to another machine replaces the node; anything else changes in place."""
        changes = list(compare(old, new))
        for index, change in enumerate(changes):
            if change.field == "uri" and change.new is not UNKNOWN:
                changes[index] = self._weigh_uri(ctx, state, change)
        return Plan(tuple(changes), delete_first=self.delete_first)

    def _weigh_uri(self, ctx: Context, state: NodeState, change: Change) -> Change:
        if self._site.same_machine(ctx, state.identity, change, "uri"):
            return change
        reason = f"another machine ({self._site.node(ctx, change.new).identity(ctx)})"
        return Change(change.path, change.kind, Impact.REPLACE, change.field, change.old, change.new, reason)

    def create(self, ctx: Context, inputs: NodeInputs) -> Created[NodeState]:
        """Connect, make the pool on first need, probe and read the facts."""
        node = self._site.node_to_change(ctx, inputs.uri, "uri")
        seen: list[NodeState] = []
        run(ctx, [self._making(node, inputs), self._looking(node, inputs, seen)])
        return Created(seen[0].identity, seen[0])

    def read(
        self, ctx: Context, id: str, inputs: NodeInputs | None, state: NodeState | None
    ) -> Found[NodeInputs, NodeState]:
        """The node's facts now. An import id is the identity or any word, with the URI after ``@``."""
        if inputs is None:
            natural, uri = split_import_id(id, self._site.uri)
            inputs = NodeInputs(name=natural.partition(":")[0], uri=uri)
        elif inputs.uri is None:
            inputs = inputs.model_copy(update={"uri": self._site.uri})
        self._site.learn(ctx, inputs.uri, _defaults(inputs))
        observed = self._observe(ctx, self._site.node(ctx, inputs.uri, "uri"), inputs, state)
        if state is not None and state.identity and observed.identity != state.identity:
            raise Refused(
                f"'{inputs.uri}' leads to another machine than the one in the state",
                cause=f"it is {observed.identity}, the state has {state.identity}",
                action="give the URI of the machine the state knows, or replace the Node on purpose with a new URI",
            )
        return Found(observed.identity, inputs, observed)

    def update(self, ctx: Context, id: str, state: NodeState, old: NodeInputs, new: NodeInputs) -> NodeState:
        """Take the new defaults; a pool named for the first time is made, and one left empty goes as at a delete."""
        node = self._site.node_to_change(ctx, new.uri, "uri")
        left, seen = self._pool(state)[0], list[NodeState]()
        steps = [self._making(node, new), self._looking(node, new, seen)]
        if left != self._pool(new)[0]:
            steps.append(_removing(node, left))
        run(ctx, steps)
        return seen[0]

    def delete(self, ctx: Context, id: str, state: NodeState) -> None:
        """Remove the pool when Kiln made it and it is empty; the machine itself is left as it is."""
        pool, _ = self._pool(state)
        run(ctx, [_removing(self._site.node_to_change(ctx, state.uri, "uri"), pool)])

    def _making(self, node: ConnectedNode, inputs: NodeInputs) -> Step:
        """The step that makes the pool on first need."""
        pool, _ = self._pool(inputs)
        made: list[bool] = []

        def make(ctx: Context) -> None:
            made.append(self._ensure_pool(ctx, node, inputs))

        def remove(ctx: Context) -> None:
            if any(made):
                node.volumes.remove_pool(ctx, pool)

        return Step("make storage pool", make, remove)

    def _looking(self, node: ConnectedNode, inputs: NodeInputs, seen: list[NodeState]) -> Step:
        """The step that looks at the node; what it finds is added to ``seen``."""

        def look(ctx: Context) -> None:
            seen.append(self._observe(ctx, node, inputs))

        return Step("read facts and probe the accelerator", look)

    def _ensure_pool(self, ctx: Context, node: ConnectedNode, inputs: NodeInputs) -> bool:
        """Make the pool on first need; True when it was made. What is wrong with it is told at the property."""
        pool, path = self._pool(inputs)
        try:
            return node.volumes.ensure_pool(ctx, pool, path)
        except Conflict as error:
            error.at(path="storagePool.path" if path is not None else "storagePool")
            raise

    def _pool(self, inputs: NodeInputs) -> tuple[str, str | None]:
        if inputs.storage_pool is None:
            return self._site.storage_pool, None
        return inputs.storage_pool.name, inputs.storage_pool.path

    def _observe(
        self, ctx: Context, node: ConnectedNode, inputs: NodeInputs, known: NodeState | None = None
    ) -> NodeState:
        try:
            accelerator = node.accelerator(ctx, inputs.accelerator)
        except Refused as error:
            raise InputError.because(alias_of(NodeInputs, "accelerator"), error) from error
        facts = node.facts(ctx)
        checked = node.prerequisites(ctx, self._pool(inputs)[0], inputs.network)
        for item in checked:
            if item.status == "fail":
                ctx.log.warning(f"{item.name}: {item.detail}" + (f"; {item.mend}" if item.mend else ""))
        state = _state(inputs, facts, accelerator, _steady(known, checked))
        return state.model_copy(update={"stopped_pool": _stopped(ctx, node, self._pool(inputs)[0])})


def _stopped(ctx: Context, node: ConnectedNode, pool: str) -> str | None:
    """The name of a pool that is there and does not run."""
    with suppress(NotFound):
        return None if node.volumes.pool(ctx, pool).active else pool
    return None


def _removing(node: ConnectedNode, pool: str) -> Step:
    """The step that removes a pool when Kiln made it and it is empty."""

    def remove(ctx: Context) -> None:
        node.volumes.remove_pool(ctx, pool)

    return Step("remove storage pool", remove)


def _defaults(inputs: NodeInputs) -> NodeDefaults:
    pool: Any = inputs.storage_pool
    known = pool if isinstance(pool, StoragePool) else None
    accelerator = inputs.accelerator
    return NodeDefaults(
        pool=known.name if known else pool,
        pool_path=known.path if known else None,
        network=inputs.network,
        accelerator="auto" if accelerator is UNKNOWN else accelerator,
    )


def _steady(known: NodeState | None, checked: Sequence[Prerequisite]) -> list[NodePrerequisite]:
    """The prerequisites; as they are known while only details such as free space differ, which is no news."""
    found = [
        NodePrerequisite(name=item.name, status=item.status, detail=item.detail, mend=item.mend or None)
        for item in checked
    ]
    before = list(known.prerequisites or []) if known is not None else []
    same = [(item.name, item.status) for item in before] == [(item.name, item.status) for item in found]
    return before if same else found


def _state(
    inputs: NodeInputs, facts: NodeFacts, accelerator: Accelerator, checked: list[NodePrerequisite]
) -> NodeState:
    return NodeState(
        **dict(inputs),
        identity=facts.identity,
        platform=facts.platform,
        effective_accelerator=accelerator.name,
        accelerator_reason=accelerator.reason,
        hostname=facts.hostname,
        arch=facts.arch,
        cpus=facts.cpus,
        memory=Size.of(facts.memory * 1024),
        libvirt_version=facts.libvirt_version,
        emulator_version=facts.emulator_version,
        firmwares=list(facts.firmwares),
        confinement=list(facts.confinement),
        prerequisites=checked,
        platform_info=dict(facts.info),
    )
