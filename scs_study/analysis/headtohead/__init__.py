"""One layer against another on somebody's images: paired by seed, with a verdict that says how sure it is."""
