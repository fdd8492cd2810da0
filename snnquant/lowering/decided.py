"""The choice of all scales of a plan, some of them decided beforehand by somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from snnquant.errors import ModelError
from snnquant.lowering.flow import Group
from snnquant.lowering.plan import Plan
from snnquant.lowering.terms import Term, coarsened
from snnquant.numerics import FloatArray, IntArray
from snnquant.ops.schema import CURRENT_SHIFT


@dataclass(frozen=True)
class Decided:
    """What training, or a search, fixed for one synapse or one neuron.

    Attributes:
        scale: real value of one step of the current, ``[channels]`` or ``[1]``; the same for all
            whose currents are added up.
        gain: power of two by which these weights are multiplied.
        current_shift: left shift of the current in the neuron.
        integers: weights ``[channels, weights]`` within their bits; None: the nearest ones.
        bias_shift: real value that is added to the bias, ``[channels]``; None: nothing.
        threshold_factor: what the neuron's threshold to fire is multiplied by, ``[channels]`` or
            ``[1]``; None: nothing.
        centred: share by which the neuron's levels are moved to where rounding moves its membrane
            (see :mod:`snnquant.lowering.leak`).
    """

    scale: FloatArray
    gain: int = 1
    current_shift: int = 0
    integers: IntArray | None = None
    bias_shift: FloatArray | None = None
    threshold_factor: FloatArray | None = None
    centred: float = 0.0

    def with_bias(self, added: FloatArray) -> Decided:
        """Return the same with more added to the bias."""
        known = self.bias_shift
        return replace(self, bias_shift=added if known is None else known + added)


#: Bits by which membranes are coarser than they would be, per channel, by name of the neuron.
Coarser = Mapping[str, IntArray]


def make_coarser(plan: Plan, coarser: Coarser) -> None:
    """Ask for coarser membranes, before scales are chosen.

    Args:
        plan: groups without scales.
        coarser: bits per channel by name of the neuron; what shares a scale gets the most.
    """
    for key, group in plan.neurons.items():
        root, asked = group.root(), coarser.get(key.name or "")
        if asked is not None:
            root.coarser = asked if root.coarser is None else np.maximum(root.coarser, asked)


def decided_coarser(
    plan: Plan, decided: Mapping[str, Decided], coarser: Coarser
) -> dict[str, Decided]:
    """Return decisions with coarser membranes in all channels, and the same weights.

    Args:
        plan: groups for which they were decided.
        decided: by the name of the synapse or of the recurrent neuron.
        coarser: as for :func:`make_coarser`; all channels of a layer get the most.
    """
    made = dict(decided)
    bits: dict[int, int] = {}
    for key, group in plan.neurons.items():
        root = id(group.root())
        asked = coarser.get(key.name or "", np.zeros(1, np.int64))
        bits[root] = max(bits.get(root, 0), int(asked.max(initial=0)))
    for group in plan.groups:
        own = [m.name for m in members_of(plan) if m.group is group and m.name in decided]
        if not own or not bits.get(id(group)):
            continue
        less, more = coarsened([decided[name].gain for name in own], bits[id(group)])
        for name in own:
            known = decided[name]
            made[name] = replace(
                known,
                scale=known.scale * 2**less,
                gain=known.gain >> less,
                current_shift=max(known.current_shift - more, CURRENT_SHIFT.low),
            )
    return made


@dataclass(frozen=True)
class Member:
    """A layer whose weights, or whose own current, count in steps of a group."""

    name: str
    group: Group
    term: Term | None


def choose_scales(plan: Plan, per_channel: bool, decided: Mapping[str, Decided]) -> None:
    """Choose the scale of every group, or take what was decided for its members.

    Args:
        plan: groups to settle.
        per_channel: let channels have scales of their own where they are chosen here.
        decided: by the name of the synapse or of the recurrent neuron; where a loop over time was
            written out, the first step's holds for all.

    Raises:
        ModelError: something was decided for a layer that is not there, only for some members of a
            group, differently for them, or in a size that the group cannot have.
    """
    members = members_of(plan)
    unknown = set(decided) - {member.name for member in members}
    if unknown:
        raise ModelError(
            f"scales were decided for '{min(unknown)}', which is no synapse or neuron that becomes "
            "integer; give the graph that they were decided for"
        )
    for group in plan.groups:
        own = [member for member in members if member.group is group]
        if any(member.name in decided for member in own):
            _take(group, own, decided)
        else:
            group.choose_scale(plan.target, per_channel)
    plan.threshold_factors = {
        name: known.threshold_factor
        for name, known in decided.items()
        if known.threshold_factor is not None
    }
    plan.centred = {name: known.centred for name, known in decided.items() if known.centred}


def members_of(plan: Plan) -> list[Member]:
    """Return all synapses and neurons with the groups that they belong to."""
    group_of = {
        id(term): group
        for group in plan.groups
        for term in (*group.terms, *(twin for twin, _ in group.twins))
    }
    found = [
        Member(key.name or "", group_of[id(term)], term)
        for key, term in plan.terms.items()
        if id(term) in group_of
    ]
    alone = [key for key in plan.neurons if key not in plan.terms]
    return found + [Member(key.name or "", plan.neurons[key].root(), None) for key in alone]


def _take(group: Group, members: list[Member], decided: Mapping[str, Decided]) -> None:
    """Give a group the scale that was decided for its members."""
    given = [member for member in members if member.name in decided]
    first = decided[given[0].name]
    scale = np.asarray(first.scale, np.float64).reshape(-1)
    copies = {id(twin) for twin, _ in group.twins}
    for member in members:
        own = decided.get(member.name)
        if own is None:
            if member.term is not None and id(member.term) not in copies:
                raise ModelError(
                    f"no scale was decided for '{member.name}', but one for '{given[0].name}', "
                    "whose current counts in the same steps; decide both"
                )
            continue
        _check(member, own, group)
        if own.current_shift != first.current_shift or not np.array_equal(
            np.reshape(own.scale, -1), scale
        ):
            raise ModelError(
                f"the scales decided for '{given[0].name}' and '{member.name}' differ, but their "
                "currents count in the same steps; decide one scale for both"
            )
        if member.term is not None:
            member.term.gain = own.gain
            member.term.integers, member.term.bias_shift = own.integers, own.bias_shift
    for twin, known in group.twins:
        twin.gain, twin.bits = known.gain, known.bits
        twin.integers, twin.bias_shift = known.integers, known.bias_shift
    group.scale = scale
    group.current_shift = first.current_shift


def _check(member: Member, own: Decided, group: Group) -> None:
    """Raise ModelError for a decision that no integers can follow."""
    scale = np.asarray(own.scale, np.float64)
    where = f"the scale decided for '{member.name}'"
    if not (np.isfinite(scale).all() and (scale > 0).all() and scale.size):
        raise ModelError(f"{where} is not positive and finite; train again with a smaller step")
    if own.gain < 1 or own.gain & (own.gain - 1):
        raise ModelError(f"the gain decided for '{member.name}' is {own.gain}, no power of two")
    if not CURRENT_SHIFT.low <= own.current_shift <= CURRENT_SHIFT.high:
        raise ModelError(
            f"the current shift decided for '{member.name}' is {own.current_shift}, must be from "
            f"{CURRENT_SHIFT.low} to {CURRENT_SHIFT.high}"
        )
    if scale.size == 1:
        return
    if group.per_tensor:
        raise ModelError(
            f"{where} differs per channel, but its channels count in the same steps here; "
            "decide one scale for all of them"
        )
    weighted = member.term is not None and not member.term.every_channel
    if weighted and member.term is not None and len(member.term.rows) != scale.size:
        raise ModelError(
            f"{where} has {scale.size} channels, but the layer {len(member.term.rows)}; "
            "give the graph that it was decided for"
        )
