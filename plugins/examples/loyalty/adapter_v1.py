# Code generated from plugins/proto/adapter.proto by make generate. DO NOT EDIT.
"""The messages and methods of onefold.adapter.v1: (number, name, kind, how often)."""

MESSAGES = {
    "DescribeRequest": [
    ],
    "DescribeResponse": [
        (1, "name", "string", "one"),
        (2, "version", "string", "one"),
        (3, "domain", "string", "one"),
        (4, "events", "string", "many"),
        (5, "features", "string", "many"),
    ],
    "ConfigureRequest": [
        (1, "source", "string", "one"),
        (2, "settings", "SettingsEntry", "map"),
    ],
    "ConfigureResponse": [
        (1, "error", "Error", "optional"),
    ],
    "MapBatchRequest": [
        (1, "records", "Record", "many"),
    ],
    "MapBatchResponse": [
        (1, "results", "Result", "many"),
    ],
    "Record": [
        (1, "number", "uint64", "one"),
        (2, "source", "string", "one"),
        (3, "topic", "string", "one"),
        (4, "partition", "int32", "one"),
        (5, "offset", "int64", "one"),
        (6, "seconds", "int64", "one"),
        (7, "nanos", "int32", "one"),
        (8, "key", "bytes", "optional"),
        (9, "value", "bytes", "optional"),
        (10, "headers", "Header", "many"),
    ],
    "Header": [
        (1, "key", "bytes", "one"),
        (2, "value", "bytes", "optional"),
    ],
    "Result": [
        (1, "number", "uint64", "one"),
        (2, "changes", "bytes", "one"),
        (3, "refusals", "Refusal", "many"),
        (4, "error", "Error", "optional"),
    ],
    "Refusal": [
        (1, "part", "string", "one"),
        (2, "ignored", "bool", "one"),
        (3, "error", "Error", "optional"),
        (4, "keys", "string", "many"),
    ],
    "Error": [
        (1, "class", "string", "one"),
        (2, "reason", "string", "one"),
        (3, "path", "string", "one"),
        (4, "text", "string", "one"),
    ],
    "PushRequest": [
        (1, "deliveries", "Delivery", "many"),
    ],
    "Delivery": [
        (1, "number", "uint64", "one"),
        (2, "customer", "bytes", "one"),
        (3, "remote", "string", "one"),
        (4, "id", "string", "one"),
        (5, "op", "string", "one"),
        (6, "key", "string", "one"),
        (7, "version", "int64", "one"),
        (8, "into", "string", "one"),
        (9, "erased", "bool", "one"),
    ],
    "PushResponse": [
        (1, "receipts", "Receipt", "many"),
        (2, "error", "Error", "optional"),
    ],
    "Receipt": [
        (1, "number", "uint64", "one"),
        (2, "remote", "string", "one"),
        (3, "error", "Error", "optional"),
        (4, "version", "string", "one"),
        (5, "after_seconds", "uint32", "one"),
    ],
    "HealthRequest": [
    ],
    "HealthResponse": [
    ],
    "DrainRequest": [
    ],
    "DrainResponse": [
    ],
    "SettingsEntry": [
        (1, "key", "string", "one"),
        (2, "value", "string", "one"),
    ],
}

SERVICE = "onefold.adapter.v1.Adapter"

METHODS = {
    "Describe": ("DescribeRequest", "DescribeResponse"),
    "Configure": ("ConfigureRequest", "ConfigureResponse"),
    "MapBatch": ("MapBatchRequest", "MapBatchResponse"),
    "Push": ("PushRequest", "PushResponse"),
    "Health": ("HealthRequest", "HealthResponse"),
    "Drain": ("DrainRequest", "DrainResponse"),
}
