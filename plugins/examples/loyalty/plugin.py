"""What a plugin of Onefold needs besides its mapping: the wire format, the handshake and the server.

Only the standard library and grpcio. Nothing here knows the loyalty feed: copy this file and adapter_v1.py to begin a plugin
of your own, and write a __main__.py that calls serve.
"""

import concurrent.futures
import os
import sys
import threading

import grpc

from adapter_v1 import MESSAGES, METHODS, SERVICE

LARGEST = 64 << 20  # bytes of a call; grpc's own default of 4 MiB is less than a message may have


class Refused(Exception):
    """What the adapter says of a message that it cannot map. The text says what is wrong and how to mend it, and never quotes
    the message: it stands in logs. An ignored message is left out by design."""

    def __init__(self, reason, text, path="", kind="poison", ignored=False):
        super().__init__(text)
        self.ignored = ignored
        self.error = {"class": "permanent" if ignored else kind, "reason": reason, "path": path, "text": text}


# The wire format of protocol buffers: fields of a number and a kind, unknown ones are passed over.


def _varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _read_varint(data, at):
    n = shift = 0
    while True:
        byte = data[at]
        at += 1
        n |= (byte & 127) << shift
        if byte < 128:
            return n, at
        shift += 7


def encode(name, values):
    """Write a message: a dict of field names."""
    out = bytearray()
    for number, field, kind, often in MESSAGES[name]:
        value = values.get(field)
        if value is None or (often == "one" and not value):
            continue
        if often == "map":
            value = [{"key": k, "value": v} for k, v in value.items()]
        for one in value if often in ("many", "map") else [value]:
            if kind in ("uint64", "uint32", "int64", "int32", "bool"):
                out += _varint(number << 3) + _varint(int(one))
                continue
            if kind == "string":
                one = one.encode()
            elif kind != "bytes":
                one = encode(kind, one)
            out += _varint(number << 3 | 2) + _varint(len(one)) + one
    return bytes(out)


def decode(name, data):
    """Read a message into a dict. An optional field that is absent is None, any other has its zero value."""
    fields = {number: (field, kind, often) for number, field, kind, often in MESSAGES[name]}
    zero = {"string": "", "bytes": b"", "uint64": 0, "uint32": 0, "int64": 0, "int32": 0, "bool": False}
    out = {}
    for field, kind, often in fields.values():
        out[field] = {"many": list, "map": dict}.get(often, lambda k=kind: zero.get(k))()
        if often == "optional":
            out[field] = None
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _read_varint(data, at)
        else:
            size, at = (_read_varint(data, at)) if wire == 2 else ({1: 8, 5: 4}[wire], at)
            value, at = data[at : at + size], at + size
        if tag >> 3 not in fields:
            continue
        field, kind, often = fields[tag >> 3]
        if kind in ("int64", "int32") and value >> 63:
            value -= 1 << 64
        elif kind == "bool":
            value = bool(value)
        elif kind == "string":
            value = value.decode()
        elif kind in MESSAGES:
            value = decode(kind, value)
        if often == "many":
            out[field].append(value)
        elif often == "map":
            out[field][value["key"]] = value["value"]
        else:
            out[field] = value
    return out


class _Adapter:
    def __init__(self, about, map_record, configure, push):
        self._about = dict(about, features=["map"] * bool(map_record) + ["push"] * bool(push))
        self._map = map_record
        self._push = push
        self._configure = configure

    def Describe(self, request, context):
        return self._about

    def Configure(self, request, context):
        try:
            self._configure(request["source"], request["settings"])
        except Refused as refused:
            return {"error": dict(refused.error, **{"class": "permanent"})}
        return {}

    def MapBatch(self, request, context):
        if not self._map:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this adapter is a target: it does not map")
        return {"results": [self._one(record) for record in request["records"]]}

    def _one(self, record):
        try:
            return {"number": record["number"], "changes": self._map(record)}
        except Refused as refused:
            if refused.ignored:
                return {"number": record["number"], "refusals": [{"ignored": True, "error": refused.error}]}
            return {"number": record["number"], "error": refused.error}
        except Exception as e:  # its text may quote the message, so only its kind is told
            text = "the adapter fails with " + type(e).__name__ + ": this is a mistake in it, mend it and replay the message"
            return {"number": record["number"], "error": {"class": "permanent", "reason": "internal", "text": text}}

    def Push(self, request, context):
        if not self._push:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this adapter is a source: it does not push")
        return {"receipts": [self._receipt(delivery) for delivery in request["deliveries"]]}

    def _receipt(self, delivery):
        number = delivery["number"]
        try:
            return {"number": number, "remote": self._push(delivery) or ""}
        except Refused as refused:
            return {"number": number, "error": refused.error}
        except Exception as e:  # its text may quote the customer, so only its kind is told; it is tried again
            text = "the adapter fails with " + type(e).__name__ + ": this is a mistake in it, mend it"
            return {"number": number, "error": {"class": "retryable", "reason": "internal", "text": text}}

    def Health(self, request, context):
        return {}

    def Drain(self, request, context):
        return {}


def _no_settings(source, settings):
    if settings:
        raise Refused("settings", "this adapter has no settings: leave them out")


def serve(about, map_record=None, configure=_no_settings, push=None):
    """Be a plugin until the host has gone. map_record takes a record, a dict as adapter.proto has it, and answers the bytes of a
    JSON array of changes, or raises Refused. Of a target push takes a delivery and answers the id of its entry in the outside
    system, or raises Refused, whose kind says what becomes of it: retryable, throttled, auth or permanent."""
    if os.environ.get("ONEFOLD_PLUGIN") != SERVICE.rpartition(".")[0]:
        sys.exit("This is a plugin of Onefold, which starts it by itself: onefold plugin verify FILE")
    adapter = _Adapter(about, map_record, configure, push)
    handlers = {}
    for method, (request, response) in METHODS.items():
        handlers[method] = grpc.unary_unary_rpc_method_handler(
            getattr(adapter, method),
            request_deserializer=lambda data, name=request: decode(name, data),
            response_serializer=lambda values, name=response: encode(name, values),
        )
    size = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), options=size)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    socket = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin")
    server.add_insecure_port("unix:" + socket)
    server.start()
    print("1|1|unix|" + socket + "|grpc", flush=True)
    threading.Thread(target=server.wait_for_termination, daemon=True).start()
    sys.stdin.buffer.read()  # ends when the host does
    server.stop(0).wait()
