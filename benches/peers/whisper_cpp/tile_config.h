// GCC 12 takes `_tile_loadconfig` to read only the first bytes of its argument and drops what is
// written to the others, so that ggml's AMX code crashes. Here it may read all memory.
#if defined(__GNUC__) && !defined(__clang__) && defined(__AMX_TILE__)
#include <immintrin.h>

static inline void load_tile_config(const void * config) {
    __asm__ volatile("" : : "r"(config) : "memory");
    _tile_loadconfig(config);
}
#define _tile_loadconfig load_tile_config
#endif
