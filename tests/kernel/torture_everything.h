// SPDX-License-Identifier: MIT
/* A case of suite_torture.c that is a file of its own. */
#pragma once

struct test;

void everything_that_is_patched_changes_at_once(struct test *test);
