"""Bodies that are no JSON, for schemathesis: text as it is."""

import schemathesis


@schemathesis.serializer("application/x-lua", "text/csv", "application/x-ndjson", "application/octet-stream")
def text(context: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
