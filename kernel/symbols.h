// SPDX-License-Identifier: MIT
/* Address to name, from the table that the second link puts into the image (tools/symbol_table.py).
 * Lies in .text.nopatch because panic and the int3 failure path print names. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYMBOL_TEXT_MAX 80

/* Returns the name of the function that holds @address and its offset in it, or NULL outside
 * text. Context: any, NMI included. */
const char *symbol_find(uint64_t address, uint64_t *offset);

/* Writes "name+0x12" (or "0xffff..." outside text) into @buffer and returns @buffer. Context: any.
 */
const char *symbol_describe(uint64_t address, char *buffer, size_t size);

/* Symbol @index, ascending by address: not all are functions. Returns false behind the last one. */
bool symbol_get(uint32_t index, const char **name, uint64_t *address);

/* Returns the address of the function called @name, or 0. Linear; for shell commands. */
uint64_t symbol_address(const char *name);
