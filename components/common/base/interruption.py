"""Being stopped on purpose."""


class Interrupted(Exception):
    """The work was asked to stop, with Ctrl-C or a signal.

    An `Exception`, other than KeyboardInterrupt: TFX then removes what the node has half written and
    records that it failed. Code that catches Exception has to let this one pass.
    """
