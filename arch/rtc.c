// SPDX-License-Identifier: MIT
/* Time of day from the CMOS clock; rtc_read_seconds() in clock_sources.h. Invariant: a time is
 * believed only if two readings agree. Called by clock.c once. */

#include "arch/clock_sources.h"

#include "arch/instructions.h"
#include "kernel/string.h"

#include <stdbool.h>

#define CMOS_INDEX        0x70
#define CMOS_DATA         0x71
#define CMOS_STATUS_A     0x0a
#define CMOS_STATUS_B     0x0b
#define STATUS_A_UPDATING 0x80u
#define STATUS_B_24_HOURS 0x02u
#define STATUS_B_BINARY   0x04u
#define HOUR_IS_PM        0x80u
#define READ_TRIES        10000 /* an update takes up to 2 ms */

enum field { SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, FIELDS };

static const uint8_t field_index[FIELDS] = {0, 2, 4, 7, 8, 9};

static uint8_t cmos_read(uint8_t index)
{
    out8(CMOS_INDEX, index);
    return in8(CMOS_DATA);
}

static void fields_read(uint8_t fields[FIELDS])
{
    for (unsigned i = 0; i < FIELDS; i++) {
        fields[i] = cmos_read(field_index[i]);
    }
}

/* Two equal readings in a row outside an update. */
static bool fields_read_stable(uint8_t fields[FIELDS])
{
    uint8_t again[FIELDS];

    for (unsigned i = 0; i < READ_TRIES; i++) {
        if (!(cmos_read(CMOS_STATUS_A) & STATUS_A_UPDATING)) {
            fields_read(fields);
            fields_read(again);
            if (memcmp(fields, again, sizeof(again)) == 0) {
                return true;
            }
        }
        cpu_relax();
    }
    return false;
}

static void fields_decode(uint8_t fields[FIELDS])
{
    uint8_t status = cmos_read(CMOS_STATUS_B);
    bool is_pm = fields[HOUR] & HOUR_IS_PM;

    fields[HOUR] &= (uint8_t)~HOUR_IS_PM;
    for (unsigned i = 0; i < FIELDS && !(status & STATUS_B_BINARY); i++) {
        fields[i] = (uint8_t)((fields[i] >> 4) * 10 + (fields[i] & 0xf));
    }
    if (!(status & STATUS_B_24_HOURS)) {
        fields[HOUR] = (uint8_t)(fields[HOUR] % 12 + (is_pm ? 12 : 0));
    }
}

/* Days from 1970-01-01 to a day of the years 2000-2099, where every fourth year is a leap year. */
static uint64_t days_since_1970(unsigned year, unsigned month, unsigned day)
{
    static const uint16_t days_before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    uint64_t days = 10957 + year * 365 + (year + 3) / 4; /* 10957: 1970 to 2000 */

    return days + days_before[month - 1] + (year % 4 == 0 && month > 2) + day - 1;
}

uint64_t rtc_read_seconds(void)
{
    uint8_t fields[FIELDS];

    if (!fields_read_stable(fields)) {
        return 0;
    }
    fields_decode(fields);
    if (fields[MONTH] < 1 || fields[MONTH] > 12 || fields[DAY] < 1 || fields[DAY] > 31 ||
        fields[YEAR] > 99) {
        return 0;
    }
    return (days_since_1970(fields[YEAR], fields[MONTH], fields[DAY]) * 24 + fields[HOUR]) * 3600 +
           fields[MINUTE] * 60u + fields[SECOND];
}
