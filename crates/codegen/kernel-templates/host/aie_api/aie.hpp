// The part of the AIE API that Tilewright's core kernels use, for the host.
//
// A core kernel that includes <aie_api/aie.hpp> compiles unchanged for a core (Peano and AMD's
// header) and for the host (any C++17 compiler and this one). What is here keeps the meaning of
// the original, element for element; what a kernel does not use is absent, so that a use of it
// fails to compile on the host first.
//
// Modelled: element order, the rounding mode (which starts as truncation, as on a core), wrapping
// integers, one rounding per float addition, exact products of bfloat16, reinterpreting casts.
// Not modelled: flushing of subnormals, the order in which one instruction adds its products, time.
//
// Macros, for tests:
//   AIE_EMULATION_CHECKS  abort on a misaligned vector access and on an integer that a narrowing
//                         conversion does not hold
//   AIE_EMULATION_NOISE   change every float sum by up to 2^-23 of itself

#ifndef TILEWRIGHT_HOST_AIE_API_AIE_HPP
#define TILEWRIGHT_HOST_AIE_API_AIE_HPP

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define AIE_EMULATION_INLINE __forceinline
#else
#define AIE_EMULATION_INLINE inline __attribute__((always_inline))
#endif

using int8 = int8_t;
using int16 = int16_t;
using int32 = int32_t;

struct acc32 {};
struct acc64 {};
struct accfloat {};

namespace aie {

enum class rounding_mode : unsigned { floor, conv_even };

namespace detail {

// The control register of a core. A thread stands for a core, and it has one per kernel, so that
// none sees what another set: hence internal linkage, where `inline` would share it.
static thread_local rounding_mode rounding = rounding_mode::floor;

template <typename To, typename From>
AIE_EMULATION_INLINE To bit_cast(const From &from) {
  static_assert(sizeof(To) == sizeof(From), "a cast keeps the size");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

[[noreturn]] inline void fail(const char *what) {
  std::fprintf(stderr, "aie emulation: %s\n", what);
  std::abort();
}

AIE_EMULATION_INLINE uint16_t narrow(float value, bool even) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  const uint32_t rounded = even ? bits + 0x7fffu + ((bits >> 16) & 1u) : bits;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>((is_nan ? bits | 0x400000u : rounded) >> 16);
}

AIE_EMULATION_INLINE float sum(float value) {
#if defined(AIE_EMULATION_NOISE)
  static thread_local uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  return value + value * (static_cast<float>(static_cast<int32_t>(state)) * 0x1p-54f);
#else
  return value;
#endif
}

} // namespace detail

inline void set_rounding(rounding_mode mode) { detail::rounding = mode; }

} // namespace aie

struct bfloat16 {
  uint16_t bits;

  bfloat16() = default;
  bfloat16(float value)
      : bits(aie::detail::narrow(value, aie::detail::rounding == aie::rounding_mode::conv_even)) {}
  AIE_EMULATION_INLINE operator float() const {
    return aie::detail::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

namespace aie {

template <typename T, unsigned N> struct vector {
  static constexpr unsigned bytes = N * sizeof(T);
  static constexpr unsigned alignment = bytes < 64 ? bytes : 64;

  alignas(alignment) T data[N];

  static constexpr unsigned size() { return N; }

  template <typename U> AIE_EMULATION_INLINE vector<U, bytes / sizeof(U)> cast_to() const {
    return detail::bit_cast<vector<U, bytes / sizeof(U)>>(*this);
  }
};

namespace detail {

template <typename Tag> struct lane;
template <> struct lane<acc32> { using type = int32_t; };
template <> struct lane<acc64> { using type = int64_t; };
template <> struct lane<accfloat> { using type = float; };

// Shifts right and rounds as the rounding mode says.
AIE_EMULATION_INLINE int64_t shift_right(int64_t value, int shift, bool even) {
  if (shift == 0)
    return value;
  const int64_t below_half = (int64_t{1} << (shift - 1)) - 1;
  const int64_t carry = even ? below_half + ((value >> shift) & 1) : 0;
  return (value + carry) >> shift;
}

template <typename T, unsigned N>
AIE_EMULATION_INLINE void check_alignment([[maybe_unused]] const T *pointer) {
#if defined(AIE_EMULATION_CHECKS)
  // What AIE2P asks for; AIE2 is content with 32 bytes.
  if (reinterpret_cast<uintptr_t>(pointer) % vector<T, N>::alignment != 0)
    fail("misaligned vector access");
#endif
}

} // namespace detail

template <typename Tag, unsigned N> struct accum {
  using lane = typename detail::lane<Tag>::type;
  static constexpr bool is_float = std::is_same<Tag, accfloat>::value;

  alignas(64) lane data[N];

  accum() = default;

  template <typename T> AIE_EMULATION_INLINE explicit accum(const vector<T, N> &v, int shift = 0) {
    for (unsigned i = 0; i < N; ++i) {
      if constexpr (is_float)
        data[i] = v.data[i];
      else
        data[i] = static_cast<lane>(static_cast<uint64_t>(static_cast<int64_t>(v.data[i])) << shift);
    }
  }

  template <typename T> AIE_EMULATION_INLINE vector<T, N> to_vector(int shift = 0) const {
    vector<T, N> v;
    const bool even = detail::rounding == rounding_mode::conv_even;
    for (unsigned i = 0; i < N; ++i) {
      if constexpr (std::is_same<T, bfloat16>::value) {
        v.data[i].bits = detail::narrow(data[i], even);
      } else if constexpr (is_float) {
        v.data[i] = data[i];
      } else {
        const int64_t value = detail::shift_right(data[i], shift, even);
        v.data[i] = static_cast<T>(value);
#if defined(AIE_EMULATION_CHECKS)
        if (v.data[i] != value)
          detail::fail("an integer does not fit");
#endif
      }
    }
    return v;
  }

  template <typename To> AIE_EMULATION_INLINE accum<To, N> cast_to() const {
    return detail::bit_cast<accum<To, N>>(*this);
  }
};

template <unsigned N, typename T> AIE_EMULATION_INLINE vector<T, N> load_v(const T *pointer) {
  detail::check_alignment<T, N>(pointer);
  vector<T, N> v;
  std::memcpy(v.data, pointer, sizeof v.data);
  return v;
}

template <typename T, unsigned N>
AIE_EMULATION_INLINE void store_v(T *pointer, const vector<T, N> &v) {
  detail::check_alignment<T, N>(pointer);
  std::memcpy(pointer, v.data, sizeof v.data);
}

template <typename T, unsigned N> AIE_EMULATION_INLINE vector<T, N> broadcast(T value) {
  vector<T, N> v;
  for (unsigned i = 0; i < N; ++i)
    v.data[i] = value;
  return v;
}

template <typename T, unsigned N, typename... Vectors>
AIE_EMULATION_INLINE vector<T, N *(1 + sizeof...(Vectors))> concat(const vector<T, N> &first,
                                                                   const Vectors &...rest) {
  vector<T, N *(1 + sizeof...(Vectors))> v;
  const vector<T, N> *const parts[] = {&first, &rest...};
  for (unsigned part = 0; part < 1 + sizeof...(Vectors); ++part)
    std::memcpy(v.data + part * N, parts[part]->data, N * sizeof(T));
  return v;
}

template <unsigned N>
AIE_EMULATION_INLINE vector<int32, N> bit_and(int32 mask, const vector<int32, N> &v) {
  vector<int32, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = mask & v.data[i];
  return result;
}

template <unsigned N>
AIE_EMULATION_INLINE vector<int32, N> min(const vector<int32, N> &v, int32 limit) {
  vector<int32, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = v.data[i] < limit ? v.data[i] : limit;
  return result;
}

template <unsigned N>
AIE_EMULATION_INLINE vector<int32, N> max(const vector<int32, N> &v, int32 limit) {
  vector<int32, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = v.data[i] > limit ? v.data[i] : limit;
  return result;
}

template <unsigned N>
AIE_EMULATION_INLINE vector<int16, N> add(const vector<int16, N> &x, const vector<int16, N> &y) {
  vector<int16, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = static_cast<int16>(x.data[i] + y.data[i]);
  return result;
}

template <unsigned N>
AIE_EMULATION_INLINE vector<int16, N> sub(const vector<int16, N> &x, int16 y) {
  vector<int16, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = static_cast<int16>(x.data[i] - y);
  return result;
}

namespace detail {

// x + sign × y, wrapping for integers.
template <typename T> AIE_EMULATION_INLINE T plus(T x, T y, int sign) {
  if constexpr (std::is_same<T, float>::value) {
    return sum(sign < 0 ? x - y : x + y);
  } else {
    using U = std::make_unsigned_t<T>;
    const U a = static_cast<U>(x), b = static_cast<U>(y);
    return static_cast<T>(sign < 0 ? a - b : a + b);
  }
}

// Exact for the types that have a multiplication: int16 in 32 bits, bfloat16 in a float.
template <typename Lane, typename T> AIE_EMULATION_INLINE Lane product(T x, T y) {
  static_assert(std::is_same<T, int16>::value || std::is_same<T, bfloat16>::value,
                "no such multiplication");
  if constexpr (std::is_same<T, int16>::value)
    return static_cast<int32_t>(x) * y;
  else
    return static_cast<float>(x) * static_cast<float>(y);
}

} // namespace detail

template <typename Tag, unsigned N>
AIE_EMULATION_INLINE accum<Tag, N> add(const accum<Tag, N> &x, const accum<Tag, N> &y) {
  accum<Tag, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = detail::plus(x.data[i], y.data[i], 1);
  return result;
}

template <typename Tag, unsigned N>
AIE_EMULATION_INLINE accum<Tag, N> sub(const accum<Tag, N> &x, const accum<Tag, N> &y) {
  accum<Tag, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = detail::plus(x.data[i], y.data[i], -1);
  return result;
}

template <typename T, unsigned N>
AIE_EMULATION_INLINE accum<accfloat, N> mul(const vector<T, N> &x, const vector<T, N> &y) {
  accum<accfloat, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = detail::product<float>(x.data[i], y.data[i]);
  return result;
}

template <typename Tag, typename T, unsigned N>
AIE_EMULATION_INLINE accum<Tag, N> mac(const accum<Tag, N> &acc, const vector<T, N> &x,
                                       const vector<T, N> &y) {
  using Lane = typename accum<Tag, N>::lane;
  accum<Tag, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = detail::plus(acc.data[i], detail::product<Lane>(x.data[i], y.data[i]), 1);
  return result;
}

template <typename Tag, typename T, unsigned N>
AIE_EMULATION_INLINE accum<Tag, N> msc(const accum<Tag, N> &acc, const vector<T, N> &x,
                                       const vector<T, N> &y) {
  using Lane = typename accum<Tag, N>::lane;
  accum<Tag, N> result;
  for (unsigned i = 0; i < N; ++i)
    result.data[i] = detail::plus(acc.data[i], detail::product<Lane>(x.data[i], y.data[i]), -1);
  return result;
}

namespace detail {

// c += a × b for one micro-tile of integers.
template <unsigned R, unsigned S, unsigned T>
AIE_EMULATION_INLINE void multiply(const int8 *a, const int8 *b, int32 *c) {
#if defined(__SSE2__)
  // Two rows of B at a time, their elements side by side, so that one instruction multiplies and
  // adds pairs.
  static_assert(S % 2 == 0 && T == 8, "the micro-tiles of int8");
  for (unsigned k = 0; k < S; k += 2) {
    const __m128i even = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(b + k * T));
    const __m128i odd = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(b + (k + 1) * T));
    const __m128i pairs = _mm_unpacklo_epi8(even, odd);
    const __m128i left = _mm_srai_epi16(_mm_unpacklo_epi8(pairs, pairs), 8);
    const __m128i right = _mm_srai_epi16(_mm_unpackhi_epi8(pairs, pairs), 8);
    for (unsigned i = 0; i < R; ++i) {
      const uint32_t low = static_cast<uint16_t>(a[i * S + k]);
      const uint32_t high = static_cast<uint16_t>(a[i * S + k + 1]);
      const __m128i factor = _mm_set1_epi32(static_cast<int32_t>(low | high << 16));
      __m128i *const row = reinterpret_cast<__m128i *>(c + i * T);
      _mm_store_si128(row, _mm_add_epi32(_mm_load_si128(row), _mm_madd_epi16(factor, left)));
      _mm_store_si128(row + 1,
                      _mm_add_epi32(_mm_load_si128(row + 1), _mm_madd_epi16(factor, right)));
    }
  }
#else
  for (unsigned i = 0; i < R; ++i)
    for (unsigned k = 0; k < S; ++k)
      for (unsigned j = 0; j < T; ++j)
        c[i * T + j] += static_cast<int32>(a[i * S + k]) * b[k * T + j];
#endif
}

// The same for bfloat16; sums are rounded one by one, in the order of k.
template <unsigned R, unsigned S, unsigned T>
AIE_EMULATION_INLINE void multiply(const bfloat16 *a, const bfloat16 *b, float *c) {
  float left[R * S], right[S * T];
  for (unsigned i = 0; i < R * S; ++i)
    left[i] = a[i];
  for (unsigned i = 0; i < S * T; ++i)
    right[i] = b[i];
  // Four columns at a time, which compilers make vectors of.
  for (unsigned i = 0; i < R; ++i)
    for (unsigned start = 0; start < T; start += 4) {
      float four[4];
      for (unsigned j = 0; j < 4; ++j)
        four[j] = c[i * T + start + j];
      for (unsigned k = 0; k < S; ++k)
        for (unsigned j = 0; j < 4; ++j)
          four[j] = sum(four[j] + left[i * S + k] * right[k * T + start + j]);
      for (unsigned j = 0; j < 4; ++j)
        c[i * T + start + j] = four[j];
    }
}

} // namespace detail

template <unsigned R, unsigned S, unsigned T, typename A, typename B> struct mmul {
  static_assert(std::is_same<A, B>::value, "one type of elements");
  static constexpr unsigned size_A = R * S;
  static constexpr unsigned size_B = S * T;
  static constexpr unsigned size_C = R * T;
  using lane = std::conditional_t<std::is_same<A, bfloat16>::value, float, int32>;

  vector<lane, size_C> data;

  mmul() = default;
  AIE_EMULATION_INLINE explicit mmul(const vector<lane, size_C> &sums) : data(sums) {}

  AIE_EMULATION_INLINE void mul(const vector<A, size_A> &a, const vector<B, size_B> &b) {
    data = broadcast<lane, size_C>(0);
    mac(a, b);
  }

  AIE_EMULATION_INLINE void mac(const vector<A, size_A> &a, const vector<B, size_B> &b) {
    detail::multiply<R, S, T>(a.data, b.data, data.data);
  }

  template <typename To> AIE_EMULATION_INLINE vector<To, size_C> to_vector() const {
    static_assert(std::is_same<To, lane>::value, "sums leave as they are");
    return data;
  }
};

} // namespace aie

#endif
