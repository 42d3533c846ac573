# SPDX-License-Identifier: MIT
"""What a mutant of the kernel is: it breaks one thing that a named case of a named suite claims to
detect.

`search` must occur exactly once in `file`. With `may_die` the mutant also counts as noticed when
the machine panics or does not end within `seconds`, because what it breaks may stop the case from
reporting. The longest case takes ten; one that breaks into a hang for certain, or lets its case
wait for what never comes, is not waited for longer than that case, a second long, could ever take.
"""

from collections import namedtuple

Mutant = namedtuple("Mutant", "name file search replacement suite case may_die seconds",
                    defaults=(False, 45))
HANGS = {"may_die": True, "seconds": 15}
