"""Being stopped on purpose."""


class Interrupted(Exception):
    """Somebody asked the work to stop, with Ctrl-C or a signal.

    An `Exception`, other than KeyboardInterrupt: TFX then removes what the node has half written and
    records that it failed. Whoever catches Exception has to let this one pass.
    """
