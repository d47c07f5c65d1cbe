"""The address of a Ray cluster, tried before Ray is asked to join it: Ray itself tries for a quarter of an hour."""

import os

from v4e.faults import Fault

ANSWER_S = 15.0  # for a Ray at an address to answer, which may be about to start
WORDS = ("auto", "local")  # that Ray takes for an address; it settles these at once


def check_address(address: str, answer_s: float = ANSWER_S) -> None:
    """Refuses an address, ``host:port`` or ``ray://host:port``, at which no Ray answers within `answer_s` seconds.

    Raises:
        Fault: none does, or this is no address.
    """
    if not address or address in WORDS:
        return
    place = address.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Fault(
            "T04", f"RAY_ADDRESS={address}: expected host:port, such as 10.0.0.1:6379, or unset it to start a Ray here"
        )
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return  # Ray's own certificates would be needed to hear it
    import grpc  # it comes with Ray, which speaks it

    with grpc.insecure_channel(place, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=answer_s)
        except grpc.FutureTimeoutError as error:
            raise Fault(
                "T04",
                f"RAY_ADDRESS={address}: no Ray answers there in {answer_s:g} s: start one by ray start --head, set "
                "the address of one that runs, or unset RAY_ADDRESS to start one on this machine",
            ) from error
