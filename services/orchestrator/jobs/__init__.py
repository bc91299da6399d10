"""What each kind of job does: functions over the journaling context. Change a step's name or arguments, and a run that
began before cannot be replayed: then raise the kind's revision in `kinds.py` too.
"""
