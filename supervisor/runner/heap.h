#pragma once

/*
 * The zygote's heap, made cheap to inherit.
 *
 * A fork copies a page table entry for every page of the heap, and an exit
 * gives each back: that is what a large runtime would cost each start. So what
 * a runtime allocates becomes huge pages, an entry each. What a program writes
 * to is kept out of them, since a write takes one apart.
 */

/* Before any allocation that counts: one arena, as the table asks. */
void heap_init(void);

/* Around the loading of a runtime. */
void heap_begin_runtime(void);
void heap_end_runtime(void);

/*
 * Fill the holes that loading left between the blocks of the heap, and forget
 * the fillings: later blocks then lie together on new pages instead of copying
 * an old page each.
 */
void heap_fill_holes(void);

/* From now on blocks are a program's. */
void heap_settle(void);
