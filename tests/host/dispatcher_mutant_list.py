# SPDX-License-Identifier: MIT
"""The mutants of dispatchers (patching/): each breaks one thing that the test named beside it
claims to detect.

Invariant: the search text stands exactly once in the file. Read by: mutants.py.
"""

from mutant_list import Mutant

IMAGES, IMAGE_CALLS = "test_dispatcher_image", "test_dispatcher_image_calls"
IMAGE_ORDER = (IMAGES, "every_image_leads_to_the_right_place_in_the_order_of_its_shape")
IMAGE_SEED = (IMAGES, "images_of_the_seeds_addresses_are_the_seeds_listing")
PARKED = ("test_live_dispatcher",
          "second_update_in_a_row_waits_for_a_reader_parked_in_the_image")

MUTANTS = [
    # Images of dispatchers.
    Mutant("unsigned compare", "dispatcher_image.c", "INSN_JCC8 + INSN_CONDITION_GREATER",
           "INSN_JCC8 + 7", *IMAGE_ORDER),
    Mutant("unsigned compare by the long jump", "dispatcher_image.c",
           "put_jump_if(image, INSN_CONDITION_GREATER,", "put_jump_if(image, 7,", *IMAGE_ORDER),
    Mutant("compare of 32 bits", "dispatcher_image.c", "put_byte(image, INSN_REX_W);",
           "put_byte(image, 0x40);", IMAGE_CALLS, "calls_through_linear_arrive"),
    Mutant("pivot off by one", "dispatcher_image.c", "image->request->targets[pivot]",
           "image->request->targets[pivot + 1]", IMAGE_CALLS, "calls_through_tree_arrive"),
    Mutant("tree not balanced", "dispatcher_image.c", "(first + end - 1) / 2",
           "(first + end - 2) / 2", *IMAGE_ORDER),
    Mutant("short jump where it does not reach", "dispatcher_image.c", "distance <= INT8_MAX",
           "distance <= UINT8_MAX", IMAGE_CALLS, "calls_through_tree_arrive"),
    Mutant("long jump where the short one reaches", "dispatcher_image.c", "distance <= INT8_MAX",
           "distance < INT8_MAX - DISPATCHER_JUMP_ALIGNMENT",
           IMAGES, "jg_is_short_where_it_reaches_and_only_there"),
    Mutant("left part behind the short jump overwritten by the long one", "dispatcher_image.c",
           "image->length = jump + INSN_JCC32_LENGTH;", "image->length = jump + INSN_JCC8_LENGTH;",
           IMAGE_CALLS, "calls_through_tree4_arrive"),
    Mutant("jump targets not aligned", "dispatcher_image.c",
           "-image->length % DISPATCHER_JUMP_ALIGNMENT", "0", *IMAGE_ORDER),
    Mutant("more nops than are needed", "instruction.c",
           "length < INSN_NOP_LENGTH_MAX ? length : INSN_NOP_LENGTH_MAX;", "1;",
           "test_instruction", "gaps_are_filled_with_the_fewest_nops"),
    Mutant("hottest order ignored", "dispatcher_image.c", "= request->hottest[rank];", "= rank;",
           *IMAGE_ORDER),
    Mutant("coldest not first", "dispatcher_image.c",
           "image->plan->is_hottest_last ? request->count - 1 - i : i;", "i;", *IMAGE_ORDER),
    Mutant("leaf with another leaf's targets", "dispatcher_image.c",
           "number >= first && number < end", "number >= first",
           IMAGE_CALLS, "calls_through_tree4_arrive"),
    Mutant("leaf of five", "dispatcher_image.c", '"tree4", 4,', '"tree4", 5,', *IMAGE_ORDER),
    Mutant("one compare in the place of two", "dispatcher_image.c", '"hot2", 0, 2,',
           '"hot2", 0, 1,', IMAGE_CALLS, "calls_through_hot2_arrive"),
    Mutant("displacement of the fallback off", "dispatcher_image.c",
           "put_displacement(image, request->fallback);",
           "put_displacement(image, request->fallback + 1);",
           IMAGE_CALLS, "calls_through_none_arrive"),
    Mutant("displacement from its own place", "dispatcher_image.c",
           "(image->request->address + image->length + sizeof(uint32_t))",
           "(image->request->address + image->length)", *IMAGE_SEED),
    Mutant("targets in unsigned order", "dispatcher_image.c",
           "(int64_t)targets[i - 1] >= (int64_t)targets[i]", "targets[i - 1] >= targets[i]",
           *IMAGE_ORDER),
    Mutant("the same target twice", "dispatcher_image.c",
           "(int64_t)targets[i - 1] >= (int64_t)targets[i]",
           "(int64_t)targets[i - 1] > (int64_t)targets[i]",
           IMAGES, "bad_sets_of_targets_are_refused_whatever_the_shape"),
    Mutant("one target too many", "dispatcher_image.c", "request->count > DISPATCHER_ENTRY_MAX",
           "request->count > DISPATCHER_ENTRY_MAX + 1",
           IMAGES, "bad_sets_of_targets_are_refused_whatever_the_shape"),
    Mutant("target cut to 32 bits", "dispatcher_image.c", "!is_sign_extended(targets[i]) ||", "",
           IMAGES, "numbers_that_no_compare_holds_are_refused"),
    Mutant("reach from the end of the half not looked at", "dispatcher_image.c",
           "is_sign_extended(distance) && is_sign_extended(distance - DISPATCHER_HALF_BYTES)",
           "is_sign_extended(distance)",
           IMAGES, "what_a_jump_may_not_reach_is_refused_whatever_the_shape"),
    Mutant("reach of the fallback not looked at", "dispatcher_image.c",
           "is_in_reach(request, request->fallback) ? PATCH_OK : PATCH_ERR_RANGE", "PATCH_OK",
           IMAGES, "what_a_jump_may_not_reach_is_refused_whatever_the_shape"),
    Mutant("ranking beyond the targets", "dispatcher_image.c", "number >= request->count",
           "number > request->count", IMAGES, "bad_rankings_are_refused_whatever_the_shape"),
    Mutant("ranking that names one twice", "dispatcher_image.c", "if (named >> number & 1) {",
           "if (false) {", IMAGES, "bad_rankings_are_refused_whatever_the_shape"),
    # Updates, with threads in the images.
    Mutant("image rewritten under a parked reader", "dispatcher.c",
           "if (dispatcher->needs_grace && !grace_wait(dispatcher)) {", "if (false) {", *PARKED),
    Mutant("one half of the image only", "dispatcher.c", "half = 1 - half;", "", *PARKED),
    Mutant("removal does not wait for the reader", "dispatcher.c",
           "    if (!grace_wait(dispatcher)) {", "    if (false) {",
           "test_live_dispatcher",
           "removal_waits_for_a_reader_on_its_way_to_the_removed_program"),
]
