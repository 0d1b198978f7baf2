"""The commands of ``nextbasket``, one file each. They wire everything together, with imports inside functions."""
