// SPDX-License-Identifier: MIT
/* Tests of generated programs: each of the 64 is made in its slot, decoded from there, and run.
 * Frames end at a page that nobody may touch, so that a byte read behind one is a fault at once;
 * what is said of a frame is compared with a program in C that reads it field by field. */
#include <Zydis/Zydis.h>
#include <string.h>
#include <sys/mman.h>

#include "net/program.h"
#include "net/program_code.h"
#include "net/wire.h"
#include "tests/host/net_fake_dispatcher.h"
#include "tests/host/net_frames.h"

#define PAGE 4096u
#define PORT 9000u

static uint8_t *page; /* the one behind it cannot be touched */

static int map_page(void **state)
{
    (void)state;
    page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : mprotect(page + PAGE, PAGE, PROT_NONE);
}

static struct net_program *generate(uint32_t number)
{
    struct net_program *program = NULL;

    assert_int_equal(net_program_generate(number, &program, NULL), NET_PROGRAM_OK);
    return program;
}

static void generate_all(struct net_program *programs[NET_PROGRAM_GENERATED_MAX])
{
    for (uint32_t i = 0; i < NET_PROGRAM_GENERATED_MAX; i++) {
        programs[i] = generate(i);
    }
}

static void unload_all(void)
{
    for (uint32_t i = 0; i < NET_PROGRAM_GENERATED_MAX; i++) {
        assert_int_equal(net_program_unload(generate(i), NULL), NET_PROGRAM_OK);
    }
}

/* What program @number is to say, from its definition. */
static unsigned expected_of(uint32_t number, const uint8_t *frame, uint32_t length)
{
    uint32_t header;

    if (length < 14 + 20 + 4 || wire_get16(frame + 12) != 0x0800 || frame[23] != 17 ||
        (wire_get16(frame + 20) & 0x1fff) != 0) {
        return NET_ACTION_PASS;
    }
    header = (frame[14] & 15) * 4;
    if (header < 20 || 14 + header + 4 > length) {
        return NET_ACTION_PASS;
    }
    return wire_get16(frame + 14 + header + 2) == PORT + number ? NET_ACTION_DROP : NET_ACTION_PASS;
}

/* Runs it on the frame, moved to the end of the page, and checks what it says. */
static unsigned run(const struct net_program *program, uint32_t number, const struct frame *frame)
{
    struct packet packet = {
        .data = page + PAGE - frame->length, .length = frame->length, .queue = 1, .device = nic};
    uint64_t runs = net_program_runs(program);
    unsigned action;

    memcpy(packet.data, frame->bytes, frame->length);
    action = program->xdp.function(&packet, program->xdp.instructions);
    assert_int_equal(action, expected_of(number, frame->bytes, frame->length));
    assert_int_equal(net_program_runs(program), runs + 1);
    assert_memory_equal(packet.data, frame->bytes, frame->length);
    return action;
}

/* Walks over the code of a slot: each instruction inside it, jumps to instructions of it alone. */
static void decode(const uint8_t *slot)
{
    bool starts[PROGRAM_CODE_BYTES] = {false}, is_aim[PROGRAM_CODE_BYTES] = {false};
    ZydisDisassembledInstruction instruction;
    unsigned returns = 0;
    size_t at = 0;

    while (slot[at] != 0xcc) {
        starts[at] = true;
        assert_true(
            ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, (uint64_t)(slot + at),
                                               slot + at, PROGRAM_CODE_BYTES - at, &instruction)));
        assert_int_not_equal(instruction.info.meta.category, ZYDIS_CATEGORY_CALL);
        assert_int_not_equal(instruction.info.meta.category, ZYDIS_CATEGORY_UNCOND_BR);
        if (instruction.info.meta.category == ZYDIS_CATEGORY_COND_BR) {
            int64_t aim =
                (int64_t)at + instruction.info.length + instruction.operands[0].imm.value.s;

            assert_in_range(aim, at + 1, PROGRAM_CODE_BYTES - 1);
            is_aim[aim] = true;
        }
        returns += instruction.info.mnemonic == ZYDIS_MNEMONIC_RET;
        at += instruction.info.length;
        assert_true(at < PROGRAM_CODE_BYTES);
    }
    assert_int_equal(returns, 2);
    for (size_t i = 0; i < PROGRAM_CODE_BYTES; i++) {
        assert_true(!is_aim[i] || starts[i]);
        assert_true(i < at || slot[i] == 0xcc);
    }
}

static void each_program_is_whole_instructions_in_its_slot(void **state)
{
    struct net_program *programs[NET_PROGRAM_GENERATED_MAX];

    (void)state;
    net_begin();
    generate_all(programs);
    for (uint32_t i = 0; i < NET_PROGRAM_GENERATED_MAX; i++) {
        const uint8_t *slot = (const uint8_t *)(uint64_t)programs[i]->xdp.function;

        decode(slot);
        assert_int_equal((uint64_t)slot % 16, 0);
        for (uint32_t other = 0; other < i; other++) {
            uint64_t distance = (uint64_t)slot - (uint64_t)programs[other]->xdp.function;

            assert_true(distance >= PROGRAM_CODE_BYTES && -distance >= PROGRAM_CODE_BYTES);
            assert_memory_not_equal(slot, (void *)(uint64_t)programs[other]->xdp.function,
                                    PROGRAM_CODE_BYTES);
        }
    }
    unload_all();
    net_end();
}

static void each_program_drops_its_own_port_alone(void **state)
{
    struct net_program *programs[NET_PROGRAM_GENERATED_MAX];
    struct frame frame;

    (void)state;
    net_begin();
    generate_all(programs);
    for (uint32_t i = 0; i < NET_PROGRAM_GENERATED_MAX; i++) {
        unsigned dropped = 0;

        for (unsigned port = 0; port <= 0xffff; port += port % 9000 < 100 ? 1 : 100) {
            frame_udp(&frame, PORT + i, port, 40); /* its source port means nothing */
            dropped += run(programs[i], i, &frame) == NET_ACTION_DROP;
        }
        assert_int_equal(dropped, 1);
        assert_int_equal(net_program_runs(programs[(i + 1) % NET_PROGRAM_GENERATED_MAX]),
                         i + 1 < NET_PROGRAM_GENERATED_MAX ? 0 : net_program_runs(programs[0]));
    }
    unload_all();
    net_end();
}

/* Cut anywhere, and each byte of the headers with each bit the other way. */
static void malformed_frames_pass_and_nothing_behind_them_is_read(void **state)
{
    struct net_program *program;
    struct frame frame;

    (void)state;
    net_begin();
    program = generate(0);
    for (uint32_t length = 0; length <= 120; length++) {
        frame_udp(&frame, 1, PORT, 80);
        frame.length = length;
        assert_int_equal(run(program, 0, &frame), length < 38 ? NET_ACTION_PASS : NET_ACTION_DROP);
    }
    for (unsigned bit = 0; bit < 42 * 8; bit++) {
        for (uint32_t length = 36; length <= 80; length++) {
            frame_udp(&frame, 1, PORT, 80);
            frame.length = length;
            frame.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            run(program, 0, &frame);
        }
    }
    assert_int_equal(net_program_unload(program, NULL), NET_PROGRAM_OK);
    net_end();
}

/* With a header of each length, the port stands elsewhere; what looks like it elsewhere does not
 * count. */
static void options_move_the_port(void **state)
{
    struct net_program *program;
    struct frame frame;

    (void)state;
    net_begin();
    program = generate(7);
    for (unsigned words = 0; words < 16; words++) {
        for (unsigned at = 0; at < 60; at += 2) {
            unsigned action;

            frame_udp(&frame, 0, 0, 80);
            memset(frame.bytes + 34, 0, 80);
            frame.bytes[14] = (uint8_t)(0x40 | words);
            put16(frame.bytes + 14 + 20 + at, PORT + 7);
            action = run(program, 7, &frame);
            assert_int_equal(action == NET_ACTION_DROP, words >= 5 && 20 + at == words * 4 + 2);
        }
    }
    assert_int_equal(net_program_unload(program, NULL), NET_PROGRAM_OK);
    net_end();
}

static void each_queue_counts_for_itself(void **state)
{
    const struct net_program_data *data;
    struct net_program *program;
    struct frame frame;

    (void)state;
    net_begin();
    program = generate(63);
    data = program->xdp.instructions;
    frame_udp(&frame, 1, 2, 40);
    for (unsigned device = 0; device < NET_DEVICE_MAX; device++) {
        for (uint16_t queue = 0; queue < NET_QUEUE_MAX; queue++) {
            struct net_device other = {.index = device};
            struct packet packet = {
                .data = frame.bytes, .length = frame.length, .queue = queue, .device = &other};

            program->xdp.function(&packet, data);
            assert_int_equal(data->slots[device * NET_QUEUE_MAX + queue].runs, 1);
            for (unsigned i = 0; i < 7; i++) {
                assert_int_equal(data->slots[device * NET_QUEUE_MAX + queue].counts[i], 0);
            }
        }
    }
    assert_int_equal(net_program_runs(program), NET_DEVICE_MAX * NET_QUEUE_MAX);
    assert_int_equal(net_program_unload(program, NULL), NET_PROGRAM_OK);
    net_end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_program_is_whole_instructions_in_its_slot),
    cmocka_unit_test(each_program_drops_its_own_port_alone),
    cmocka_unit_test(malformed_frames_pass_and_nothing_behind_them_is_read),
    cmocka_unit_test(options_move_the_port),
    cmocka_unit_test(each_queue_counts_for_itself),
};

HOST_TEST_MAIN(tests, map_page)
