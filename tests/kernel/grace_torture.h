// SPDX-License-Identifier: MIT
/* A case of suite_grace_period.c that is a file of its own. */
#pragma once

struct test;

void no_reader_sees_a_version_that_a_period_has_freed(struct test *test);
