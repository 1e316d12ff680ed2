/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The encodings that are computed: sizes, offsets and numbers are asserted where they are defined,
 * and that this file compiles is their test. Whoever includes the kernel's own header afterwards
 * gets no second definition.
 */
#include "ublk-abi.h"

#include <linux/ublk_cmd.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			exit(EXIT_FAILURE);                                                     \
		}                                                                               \
	} while (0)

static void test_desc(void)
{
	const struct ublksrv_io_desc desc = {
		.op_flags = UBLK_IO_OP_WRITE | UBLK_IO_F_FUA | UBLK_IO_F_SWAP,
	};

	CHECK(ublksrv_get_op(&desc) == UBLK_IO_OP_WRITE);
	CHECK(ublk_desc_flags(&desc) == (UBLK_IO_F_FUA | UBLK_IO_F_SWAP));
}

static void test_user_copy(void)
{
	CHECK(ublk_user_copy_offset(0, 0, 0) == 0x80000000ULL);
	CHECK(ublk_user_copy_offset(0, 0, 4096) == 0x80001000ULL);
	CHECK(ublk_user_copy_offset(0, 1, 0) == 0x80000000ULL + (32ULL << 20));
	CHECK(ublk_user_copy_offset(1, 0, 0) == 0x80000000ULL + (1ULL << 41));
	/* The greatest of all stays below the bit for integrity data. */
	CHECK(ublk_user_copy_offset(UBLK_MAX_NR_QUEUES - 1, UBLK_MAX_QUEUE_DEPTH - 1,
				    (1U << UBLK_IO_BUF_BITS) - 1) < UBLKSRV_IO_INTEGRITY_FLAG);
}

static void test_auto_buf_reg(void)
{
	const struct ublk_auto_buf_reg reg = { .index = 0xabcd,
					       .flags = UBLK_AUTO_BUF_REG_FALLBACK };
	struct ublk_auto_buf_reg got;

	CHECK(ublk_auto_buf_reg_to_sqe_addr(&reg) == 0x1abcd);
	got = ublk_sqe_addr_to_auto_buf_reg(0x1122334455667788ULL);
	CHECK(got.index == 0x7788 && got.flags == 0x66 && got.reserved0 == 0x55 &&
	      got.reserved1 == 0x11223344);
	CHECK(ublk_auto_buf_reg_to_sqe_addr(&got) == 0x1122334455667788ULL);
}

static void test_shmem(void)
{
	uint64_t addr = ublk_shmem_zc_addr(0x1234, 0xdeadbeef);

	CHECK(addr == 0x1234deadbeefULL);
	CHECK(ublk_shmem_zc_index(addr) == 0x1234);
	CHECK(ublk_shmem_zc_offset(addr) == 0xdeadbeef);
}

int main(void)
{
	test_desc();
	test_user_copy();
	test_auto_buf_reg();
	test_shmem();
	return EXIT_SUCCESS;
}
