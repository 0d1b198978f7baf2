"""The commands of ``nextbasket``, one file each: the composition root, which may import everything, lazily."""
