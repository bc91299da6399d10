"""The protocols that clients speak at the edge, one module each: what is read of a request, how a failure looks whole
and inside a stream, what an answer carries beside its body. Pure."""
