// A user writes one import: endpoints, clients and the loop come with `AsyncRedis`.
@_exported public import AsyncIO
@_exported public import RESP
@_exported public import UVLoop
