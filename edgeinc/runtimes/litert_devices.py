"""Opening a `.tflite` network with a delegate, and what the delegate really took of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from edgeinc.devices import Device, Placement
from edgeinc.errors import DeviceRefusedError, ModelFormatError
from edgeinc.runtimes import delegates
from edgeinc.runtimes.chatter import overheard
from edgeinc.runtimes.litert_package import ERRORS, ON_CPU, interpreter, said
from edgeinc.runtimes.refusals import first_that_takes, left_some, took_nothing
from edgeinc.runtimes.shares import Operator, litert_macs, share

__all__ = ["delegated"]

_DELEGATE = "DELEGATE"


def delegated(
    content: bytes, options: Mapping[str, Any], device: Device, *, strict: bool
) -> tuple[Any, Placement]:
    """Opens a network of which a delegate takes a part.

    Args:
        content: A `.tflite` file that has been read without a delegate.
        options: Of the interpreter.
        device: The delegate's library, or `npu` or `gpu`.
        strict: The delegate must take all of it.

    Returns:
        The interpreter, and what runs it.

    Raises:
        DeviceNotFoundError: There is no such library here, or no chip for it.
        DeviceLibraryError: It does not load, or is no delegate.
        DeviceRefusedError: It takes no part, or not all where it must.
    """
    take = partial(_open, content, options, strict)
    if device.name not in ("npu", "gpu"):
        return take(device)
    return first_that_takes(
        device,
        delegates.candidates(device.name, own_files=_is_compiled(content)),
        take,
        f"LiteRT finds no {device.name.upper()} here that takes such a file; install its "
        f"delegate, or name it (looked for: {', '.join(delegates.names(device.name))}).",
    )


def _open(
    content: bytes, options: Mapping[str, Any], strict: bool, device: Device
) -> tuple[Any, Placement]:
    library = delegates.library_of(device)
    with overheard() as printed:
        plugin = delegates.load(device)
        try:
            net = interpreter(content, experimental_delegates=[plugin], **options)
            every, left = _parts(net)
            net.allocate_tensors()
        except (ModelFormatError, *ERRORS) as exc:
            # It is the delegate's fault: without it the file has been read before.
            why = said(exc.__cause__ or exc) or "it does not say why"
            raise DeviceRefusedError(
                f"The delegate {library} refused the network ({why}); use a network that was made "
                "for it."
            ) from exc
    names = tuple(map(str, left))
    if len(left) == len(every):
        words = printed[-1][-200:] if printed else ""
        advice = "use a network that was made for it"
        raise took_nothing(f"The delegate {library}", names, words, advice)
    if strict and left:
        raise left_some(f"The delegate {library}", names, "")
    nodes, macs = share(every, left)
    ran = f"{library}+{ON_CPU}" if left else library
    return net, Placement(device.text, ran, nodes, macs, names)


def _parts(net: Any) -> tuple[list[Operator], list[Operator]]:
    """All operators of a network, and those that no delegate has taken.

    The interpreter keeps the operators that a delegate replaces and adds one in their place,
    which reads and computes the same tensors: what lies between these was taken.
    """
    details = {d["index"]: d for d in net.get_tensor_details()}
    every = net._get_ops_details()  # no public call tells the operators
    own = [one for one in every if one["op_name"] != _DELEGATE]
    maker = {int(i): number for number, one in enumerate(own) for i in one["outputs"]}
    taken: set[int] = set()
    for one in every:
        if one["op_name"] == _DELEGATE:
            taken |= _replaced(one, own, maker)
    operators = [_operator(one, details) for one in own]
    return operators, [one for number, one in enumerate(operators) if number not in taken]


def _replaced(
    delegate: Mapping[str, Any], own: Sequence[Mapping[str, Any]], maker: Mapping[int, int]
) -> set[int]:
    """The numbers of the operators that one of a delegate's stands for.

    Args:
        delegate: The delegate's operator.
        own: The network's operators.
        maker: By a tensor's index, the number of the operator that computes it.
    """
    first = {int(i) for i in delegate["inputs"]}
    back = [int(i) for i in delegate["outputs"]]
    found: set[int] = set()
    while back:
        tensor = back.pop()
        number = maker.get(tensor)
        if tensor not in first and number is not None and number not in found:
            found.add(number)
            back += [int(i) for i in own[number]["inputs"]]
    return found


def _operator(one: Mapping[str, Any], details: Mapping[int, Any]) -> Operator:
    kind = str(one["op_name"])
    made = details.get(int(one["outputs"][0])) if len(one["outputs"]) else None
    if made is None:
        return Operator(kind, "", None)
    read = [details[int(i)]["shape"] for i in one["inputs"] if int(i) in details]
    return Operator(kind, str(made["name"]), litert_macs(kind, read, made["shape"]))


def _is_compiled(content: bytes) -> bool:
    """Whether a vendor's compiler has written the network: an operator is none of LiteRT's."""
    return any(not one["op_name"].isupper() for one in interpreter(content)._get_ops_details())
