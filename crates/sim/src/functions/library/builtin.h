// What the compilers of cores have built in, for kernels that are compiled for the host: events for
// a trace unit do nothing, and hints for chess say nothing.
#ifndef TILEWRIGHT_HOST_BUILTIN_H
#define TILEWRIGHT_HOST_BUILTIN_H

[[maybe_unused]] static inline void event0() {}
[[maybe_unused]] static inline void event1() {}

#define chess_copy(x) (x)
#define chess_flatten_loop
#define chess_loop_count(...)
#define chess_loop_range(...)
#define chess_memory_fence()
#define chess_modulo_scheduling_budget_ratio(...)
#define chess_no_hw_loop
#define chess_prepare_for_pipelining
#define chess_protect_access
#define chess_separator()
#define chess_separator_scheduler(...)
#define chess_storage(...)
#define chess_unroll_loop(...)

#endif
