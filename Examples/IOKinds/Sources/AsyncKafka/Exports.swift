// A user writes one import: endpoints, clients, errors and the loop come with `AsyncKafka`.
@_exported public import AsyncIO
@_exported public import IOCalls
@_exported public import UVLoop
