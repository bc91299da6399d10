"""The notary: puts every record of the audit stream into a signed Merkle log that anybody can check offline.

Answers: penstock.v1.{tenant}.api.trail, penstock.v1.{tenant}.api.verify. Hears: penstock.audit.{tenant}.{service}.
Calls: nobody.
Keeps: the log (C2SP tlog-tiles), its key, and an index that can be made again from the log.
"""
