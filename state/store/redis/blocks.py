"""BlockLayout: which lines of a history lie in which block of its hash, so that one line more rewrites one small block.

Block 0 is the *inline* block, part of the field that every change writes anew. A new invoice goes there. Where a block
exceeds ``BLOCK_LINES`` lines, it is split; so a large invoice takes several blocks, each with a run of its lines in
order.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from state.domain.history import CustomerHistory, HeldLine, line_count, line_order

INLINE = 0
BLOCK_LINES = 128
SMALL_BLOCK = BLOCK_LINES // 4
"""A block that shrinks to so many lines goes back to the inline block, where there is room."""

Lines = tuple[HeldLine, ...]
Block = Mapping[str, Lines]
"""The lines of a block by invoice number."""


class BlockLayout(NamedTuple):
    """``blocks`` by id, and for each invoice the ids of its blocks, in the order of its lines."""

    blocks: Mapping[int, Block]
    ids: Mapping[str, tuple[int, ...]]


def rearrange(
    layout: BlockLayout | None, before: CustomerHistory, after: CustomerHistory
) -> tuple[BlockLayout | None, set[int]]:
    """The layout after a change of a history, and the ids of the blocks that changed; those it lacks are gone.

    A layout of None has all lines in the inline block.
    """
    if layout is None:
        if line_count(after) <= BLOCK_LINES:
            return None, {INLINE}
        layout = BlockLayout(
            {INLINE: {each.invoice_no: each.lines for each in before.invoices}},
            {each.invoice_no: (INLINE,) for each in before.invoices},
        )
    change = _Change(layout)
    held = {invoice.invoice_no: invoice for invoice in before.invoices}
    for invoice in after.invoices:
        old = held.pop(invoice.invoice_no, None)
        if old is None:
            change.put(INLINE, invoice.invoice_no, invoice.lines)
            change.ids[invoice.invoice_no] = (INLINE,)
        elif old.lines is not invoice.lines:
            change.replace(invoice.invoice_no, invoice.lines)
    for number in held:
        change.remove(number)
    for block_id in sorted(change.changed, reverse=True):  # the inline block last, which takes small ones
        change.balance(block_id)
    if set(change.blocks) == {INLINE} and line_count(after) <= BLOCK_LINES:
        return None, change.changed
    return BlockLayout(change.blocks, change.ids), change.changed


class _Change:
    """A layout that changes; blocks are copied when they change."""

    def __init__(self, layout: BlockLayout) -> None:
        self.blocks: dict[int, Block] = dict(layout.blocks)
        self.ids: dict[str, tuple[int, ...]] = dict(layout.ids)
        self.changed: set[int] = {INLINE}
        self._copied: set[int] = set()

    def _own(self, block_id: int) -> dict[str, Lines]:
        """A block that may be changed."""
        block = self.blocks.get(block_id, {})
        if block_id not in self._copied or not isinstance(block, dict):
            block = dict(block)
            self.blocks[block_id] = block
            self._copied.add(block_id)
            self.changed.add(block_id)
        return block

    def put(self, block_id: int, number: str, lines: Lines) -> None:
        self._own(block_id)[number] = lines

    def replace(self, number: str, lines: Lines) -> None:
        """Replace the lines of an invoice: each stays in its block, and a new one comes to those around it."""
        ids = self.ids[number]
        parts = [self.blocks[block_id][number] for block_id in ids]
        remaining = []
        for block_id, old, new in zip(ids, parts, _divide(parts, lines), strict=True):
            if not new:
                self._own(block_id).pop(number)
                continue
            remaining.append(block_id)
            if new != old:
                self.put(block_id, number, new)
        self.ids[number] = tuple(remaining)

    def remove(self, number: str) -> None:
        for block_id in self.ids.pop(number):
            self._own(block_id).pop(number)

    def balance(self, block_id: int) -> None:
        """Split a block that is too large, drop an empty one, and move the lines of a small one to the inline block."""
        block = self.blocks[block_id]
        size = _size(block)
        if size > BLOCK_LINES:
            self._split(block_id, block, size)
        elif block_id != INLINE and not block:
            del self.blocks[block_id]
        elif block_id != INLINE and size <= SMALL_BLOCK and all(len(self.ids[number]) == 1 for number in block):
            inline = self.blocks.get(INLINE, {})
            if _size(inline) + size <= BLOCK_LINES:
                del self.blocks[block_id]
                for number, lines in block.items():
                    self.put(INLINE, number, lines)
                    self.ids[number] = (INLINE,)

    def _split(self, block_id: int, block: Block, size: int) -> None:
        count = -(-size // BLOCK_LINES)
        chunks = _chunks(block, -(-size // count))
        new_ids = range(max(self.blocks) + 1, max(self.blocks) + len(chunks))
        # The newest invoices of the inline block, its last ones, stay there.
        ids = [*new_ids, INLINE] if block_id == INLINE else [block_id, *new_ids]
        for number in block:
            its = tuple(each for each, chunk in zip(ids, chunks, strict=True) if number in chunk)
            position = self.ids[number].index(block_id)
            self.ids[number] = (*self.ids[number][:position], *its, *self.ids[number][position + 1 :])
        for each, chunk in zip(ids, chunks, strict=True):
            self.blocks[each] = chunk
            self._copied.add(each)
            self.changed.add(each)


def _size(block: Block) -> int:
    return sum([len(lines) for lines in block.values()])


def _chunks(block: Block, size: int) -> list[dict[str, Lines]]:
    """The lines of a block in chunks of a size, in order."""
    chunks: list[dict[str, Lines]] = [{}]
    room = size
    for number, lines in block.items():
        start = 0
        while start < len(lines):
            if not room:
                chunks.append({})
                room = size
            taken = lines[start : start + room]
            chunks[-1][number] = taken
            start += len(taken)
            room -= len(taken)
    return chunks


def _divide(parts: Sequence[Lines], lines: Lines) -> list[Lines]:
    """The lines of an invoice, divided where ``parts`` were: at the first line of each part but the first."""
    divided: list[Lines] = []
    start = end = shift = 0
    for part, following in pairwise(parts):
        end += len(part)
        cut = end + shift
        if not (start <= cut < len(lines) and lines[cut] is following[0]):
            cut = bisect_left(lines, line_order(following[0]), lo=start, key=line_order)
            shift = cut - end
        divided.append(lines[start:cut])
        start = cut
    divided.append(lines[start:])
    return divided
