"""Which layer of one model is which of another: by name, then by place in the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from snnquant.comparison.layers import Layer

#: Layers and layers of the other model, None where there is no counterpart.
Pairs = list[tuple["Layer | None", "Layer | None"]]
#: Beyond so many comparisons layers of one kind are matched in order, which is as good for most.
_MOST = 1 << 20


def match_layers(before: Sequence[Layer], after: Sequence[Layer]) -> Pairs:
    """Return pairs in the order of the second model, what was removed where it was.

    Layers of one kind and the same name are the same. Of the others, those that lie between the
    same neighbours and are of one form are, in order.
    """
    partner = _by_name(before, after)
    reverse = {j: i for i, j in partner.items()}
    for block, other in _gaps(partner, len(before), len(after)):
        ours = [k for k in block if k not in partner]
        theirs = [k for k in other if k not in reverse]
        for i, j in _aligned([before[k] for k in ours], [after[k] for k in theirs]):
            partner[ours[i]] = theirs[j]
            reverse[theirs[j]] = ours[i]
    pairs: Pairs = []
    done = 0
    for j, layer in enumerate(after):
        if j not in reverse:
            pairs.append((None, layer))
            continue
        i = reverse[j]
        pairs += [(before[k], None) for k in range(done, i) if k not in partner]
        done = max(done, i + 1)
        pairs.append((before[i], layer))
    return pairs + [(before[k], None) for k in range(done, len(before)) if k not in partner]


def _by_name(before: Sequence[Layer], after: Sequence[Layer]) -> dict[int, int]:
    """Return the places of layers whose kind and name are the same, and alone in each model."""
    keys = [[(layer.kind, layer.name) for layer in layers] for layers in (before, after)]
    once = [{key for key, count in Counter(found).items() if count == 1} for found in keys]
    place = {key: j for j, key in enumerate(keys[1]) if key in once[1]}
    return {
        i: place[key] for i, key in enumerate(keys[0]) if key in once[0] and key in place and key[1]
    }


def _gaps(partner: dict[int, int], ours: int, theirs: int) -> Iterator[tuple[range, range]]:
    """Yield the stretches between layers that were matched, where both keep their order."""
    i = j = 0
    for one, other in sorted(partner.items()):
        if other >= j:
            yield range(i, one), range(j, other)
            i, j = one + 1, other + 1
    yield range(i, ours), range(j, theirs)


def _aligned(before: Sequence[Layer], after: Sequence[Layer]) -> Iterator[tuple[int, int]]:
    """Yield the places of layers of the same form, in the same order in both."""
    ours, theirs = ([(layer.kind, layer.form) for layer in layers] for layers in (before, after))
    if len(ours) * len(theirs) > _MOST:
        places: dict[tuple[str, str], list[int]] = {}
        for j, key in reversed(list(enumerate(theirs))):
            places.setdefault(key, []).append(j)
        for i, key in enumerate(ours):
            if places.get(key):
                yield i, places[key].pop()
        return
    for block in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        yield from ((block.a + k, block.b + k) for k in range(block.size))
