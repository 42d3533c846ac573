// SPDX-License-Identifier: MIT
/* Fuzzes patching/dispatcher_image.c. An input is a request, good or bad: shape, address, fallback,
 * targets (the first, then steps), their order by heat; then values to dispatch.
 *
 * Detects: a request refused without reason, for the wrong reason or naming the wrong culprit; one
 * let through that cannot be met; an image that Zydis does not read as one, that is longer than it
 * must be, or that leads any of the values, each target and those close to it elsewhere, or by
 * other compares, than the shape promises; reading or writing beyond what was given (each array is
 * a heap block of just its size). Could miss: what depends on time; there is nothing. */
#include "patching/dispatcher_image.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/host/dispatcher_listing.h"

#include <string.h>

/* Of the byte that says how a request is read. */
enum {
    FAR_ADDRESS = 1,     /* eight bytes, not four */
    ODD_ADDRESS = 2,     /* not aligned */
    FAR_FALLBACK = 4,    /* eight bytes, not a distance of four */
    SPOILED_RANKING = 8, /* one number is replaced */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t take_signed4(struct input *input)
{
    return (uint64_t)(int64_t)(int32_t)input_take(input, 4);
}

/* Ascending, unless a step that is taken as it is says otherwise. */
static void take_targets(struct input *input, uint64_t *targets, unsigned room)
{
    uint64_t target = take_signed4(input);

    for (unsigned i = 0; i < room; i++) {
        uint64_t form = input_take(input, 1);
        uint64_t step = input_take(input, 1 + form % 4);

        targets[i] = target;
        target += form < 0xf0   ? step + 1
                  : form < 0xf8 ? (uint64_t)(int64_t)(int8_t)step
                                : step << 32;
    }
}

static void take_ranking(struct input *input, uint8_t *hottest, unsigned room, bool is_spoiled)
{
    for (unsigned i = 0; i < room; i++) {
        uint64_t other = input_take(input, 1) % (i + 1);

        hottest[i] = hottest[other];
        hottest[other] = (uint8_t)i;
    }
    if (is_spoiled && room > 0) {
        uint64_t which = input_take(input, 1) % room;

        hottest[which] = (uint8_t)input_take(input, 1);
    }
}

/* @targets and @hottest are heap blocks for the caller to free. */
static struct dispatcher_image_request take_request(struct input *input)
{
    uint8_t form = (uint8_t)input_take(input, 1);
    uint8_t shape = (uint8_t)input_take(input, 1);
    uint32_t count = (uint32_t)input_take(input, 1);
    struct dispatcher_image_request request = {
        .shape = (enum dispatcher_shape)(shape < 0xf0 ? shape % (DISPATCHER_SHAPE_COUNT + 1)
                                                      : (int8_t)shape)};

    request.count = count < 0xf0 ? count % (DISPATCHER_ENTRY_MAX + 2) : count << 24;
    request.address = form & FAR_ADDRESS ? input_take(input, 8) : take_signed4(input);
    request.address &= form & ODD_ADDRESS ? ~0ull : ~(DISPATCHER_JUMP_ALIGNMENT - 1ull);
    request.fallback =
        form & FAR_FALLBACK ? input_take(input, 8) : request.address + take_signed4(input);

    /* A request with too many is not read beyond the first one too many. */
    unsigned room = request.count > DISPATCHER_ENTRY_MAX ? DISPATCHER_ENTRY_MAX + 1 : request.count;
    uint64_t *targets = malloc(room * sizeof(*targets));
    uint8_t *hottest = malloc(room);

    take_targets(input, targets, room);
    take_ranking(input, hottest, room, form & SPOILED_RANKING);
    request.targets = targets;
    request.hottest = hottest;
    return request;
}

/* True if no jump in the half may miss @target. */
static bool reaches(uint64_t address, uint64_t target)
{
    __int128 distance = (__int128)(int64_t)(target - address);

    return distance >= DISPATCHER_HALF_BYTES - ((__int128)1 << 31) && distance < (__int128)1 << 31;
}

static bool is_wide(uint64_t target)
{
    return (int64_t)target > INT32_MAX || (int64_t)target < INT32_MIN;
}

static bool is_target(const struct dispatcher_image_request *request, uint64_t address)
{
    for (unsigned i = 0; i < request->count; i++) {
        if (request->targets[i] == address) {
            return true;
        }
    }
    return false;
}

static bool has_bad_order(const struct dispatcher_image_request *request, uint64_t culprit)
{
    for (unsigned i = 1; i < request->count; i++) {
        if ((int64_t)request->targets[i] <= (int64_t)request->targets[i - 1] &&
            culprit == request->targets[i]) {
            return true;
        }
    }
    return false;
}

static unsigned times_named(const struct dispatcher_image_request *request, uint64_t number)
{
    unsigned times = 0;

    for (unsigned i = 0; i < request->count; i++) {
        times += request->hottest[i] == number;
    }
    return times;
}

/* True if the request deserves that status, with that culprit. */
static bool is_deserved(const struct dispatcher_image_request *request, enum patch_status status,
                        uint64_t culprit)
{
    bool is_full = request->count > DISPATCHER_ENTRY_MAX;

    switch (status) {
    case PATCH_ERR_SHAPE:
        return culprit == request->address && (request->address % DISPATCHER_JUMP_ALIGNMENT != 0 ||
                                               (unsigned)request->shape >= DISPATCHER_SHAPE_COUNT);
    case PATCH_ERR_FULL:
        return is_full && culprit == request->targets[DISPATCHER_ENTRY_MAX];
    case PATCH_ERR_DUPLICATE:
        return !is_full && (has_bad_order(request, culprit) || times_named(request, culprit) > 1);
    case PATCH_ERR_NO_ENTRY:
        return !is_full && culprit >= request->count && times_named(request, culprit) > 0;
    case PATCH_ERR_RANGE:
        return !is_full && ((is_target(request, culprit) &&
                             (is_wide(culprit) || !reaches(request->address, culprit))) ||
                            (culprit == request->fallback && !reaches(request->address, culprit)));
    default:
        return false;
    }
}

/* True if nothing is wrong with it. */
static bool is_good(const struct dispatcher_image_request *request)
{
    if ((unsigned)request->shape >= DISPATCHER_SHAPE_COUNT ||
        request->address % DISPATCHER_JUMP_ALIGNMENT != 0 ||
        request->count > DISPATCHER_ENTRY_MAX || !reaches(request->address, request->fallback)) {
        return false;
    }
    for (unsigned i = 0; i < request->count; i++) {
        uint64_t target = request->targets[i];

        if (is_wide(target) || !reaches(request->address, target) ||
            has_bad_order(request, target) || times_named(request, i) != 1) {
            return false;
        }
    }
    return true;
}

static void check_value(const struct listing *listing,
                        const struct dispatcher_image_request *request, uint64_t value)
{
    const char *wrong = listing_check_value(listing, request, value);

    FUZZ_CHECK(wrong == NULL, "rdx %#llx: %s", (unsigned long long)value, wrong);
}

static void check_image(const struct dispatcher_image_request *request, const uint8_t *bytes,
                        size_t length, struct input *input)
{
    static struct listing listing;

    FUZZ_CHECK(length <= DISPATCHER_HALF_BYTES && length == listing_shortest(request),
               "%zu bytes instead of %zu", length, listing_shortest(request));
    const char *wrong = listing_read(&listing, bytes, length, request->address);

    FUZZ_CHECK(wrong == NULL, "the image has %s", wrong);
    for (unsigned i = 0; i < request->count; i++) {
        uint64_t target = request->targets[i];

        check_value(&listing, request, target - 1);
        check_value(&listing, request, target);
        check_value(&listing, request, target + 1);
        check_value(&listing, request, target ^ 1ull << (32 + i % 32));
    }
    do {
        check_value(&listing, request, input_take(input, 8));
    } while (!input_is_empty(input));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.bytes = data, .size = size};
    struct dispatcher_image_request request = take_request(&input);
    uint8_t *bytes = malloc(DISPATCHER_HALF_BYTES);
    size_t length = 0;
    uint64_t culprit = 0;
    enum patch_status status = dispatcher_image_generate(&request, bytes, &length, &culprit);

    if (is_good(&request)) {
        FUZZ_CHECK(status == PATCH_OK, "a good request is refused with %u", status);
        check_image(&request, bytes, length, &input);
    } else {
        FUZZ_CHECK(is_deserved(&request, status, culprit), "a bad request gives %u, culprit %#llx",
                   status, (unsigned long long)culprit);
    }
    free(bytes);
    free((void *)request.targets);
    free((void *)request.hottest);
    return 0;
}
