// SPDX-License-Identifier: MIT
/* The version that `ver` and the first log line show. */
#pragma once

#define LIVETEXT_VERSION "0.1.0"
