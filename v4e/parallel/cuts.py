"""The cut of each parameter of a Wan DiT under tensor parallelism: names and numbers only, no torch."""

# Dimension along which each parameter of a kind of module is cut. What is not named is held whole, such as a row's
# bias, which is added once, after the reduction.
COLUMN = {"weight": 0, "bias": 0}
ROW = {"weight": 1}
NORM = {"weight": 0}

IN_ATTENTION = {
    "to_q": COLUMN,
    "to_k": COLUMN,
    "to_v": COLUMN,
    "add_k_proj": COLUMN,
    "add_v_proj": COLUMN,
    "norm_q": NORM,
    "norm_k": NORM,
    "norm_added_k": NORM,
    "to_out.0": ROW,
}
IN_BLOCK = {f"{attention}.{name}": cut for attention in ("attn1", "attn2") for name, cut in IN_ATTENTION.items()} | {
    "ffn.net.0.proj": COLUMN,
    "ffn.net.2": ROW,
}


def cut_dim(name: str) -> int | None:
    """Dimension along which the parameter `name` of a Wan DiT is cut; None where every rank holds all of it."""
    top, *rest = name.split(".", 2)
    if top != "blocks" or len(rest) < 2:
        return None
    module, _, leaf = rest[1].rpartition(".")
    return IN_BLOCK.get(module, {}).get(leaf)


def own_part(name: str, shape: tuple[int, ...] | list[int], rank: int, size: int) -> tuple[slice, ...]:
    """Returns the part of the parameter `name` of that `shape` that `rank` of `size` holds, as an index into it."""
    index = [slice(None)] * len(shape)
    dim = cut_dim(name)
    if dim is not None:
        share = shape[dim] // size
        index[dim] = slice(rank * share, (rank + 1) * share)
    return tuple(index)


def check_degree(size: int, heads: int, ffn_dim: int) -> None:
    """Refuses to split a DiT of `heads` and `ffn_dim` over a number of ranks that does not divide both.

    Raises:
        ValueError: naming the degrees that do.
    """
    degrees = [n for n in range(1, heads + 1) if heads % n == 0 and ffn_dim % n == 0]
    if size not in degrees:
        raise ValueError(
            f"tensor parallelism over {size} ranks: the DiT has {heads} heads and {ffn_dim} FFN neurons, which must "
            f"both divide: set teacher.tp to one of {', '.join(map(str, degrees))}"
        )
