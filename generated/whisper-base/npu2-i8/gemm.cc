// The core kernel of npu2 in i8 for the tile 128×32×64.
//
// Only operations of the AIE API that AIE2 and AIE2P both have as instructions: products of
// bfloat16 into float sums, products of int16 into integer sums, and conversions between them.
// Float × float is none of them. The API emulates it with up to nine products and switches the
// rounding mode to do so; here a float is cut into bfloat16 parts once and only the products that
// matter are taken.

#include <stdint.h>

#include <aie_api/aie.hpp>

// Peano's loop hints; other compilers know the trip counts and need no more.
#if defined(__AIECC__)
#define TILEWRIGHT_PRAGMA(text) _Pragma(#text)
#else
#define TILEWRIGHT_PRAGMA(text)
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define TILEWRIGHT_INLINE [[maybe_unused]] static __forceinline
#else
#define TILEWRIGHT_INLINE [[maybe_unused]] static inline __attribute__((always_inline))
#endif

namespace {

constexpr unsigned M = 128, K = 32, N = 64;
constexpr unsigned R = 8, S = 8, T = 8;
constexpr bool SCALED = true;

using Input = int8;
using Sum = int32;

static_assert(M % (2 * R) == 0 && K % S == 0 && N % (2 * T) == 0, "whole pairs of micro-tiles");
static_assert(R % 4 == 0 && (T == 8 || (T == 4 && R == 4)), "the epilogue knows these micro-tiles");

// ---- The product -------------------------------------------------------------------------------

// Two by two micro-tiles at a time, so that every vector that is loaded is used twice.
// FIRST: the sums start at zero, and what the buffer holds is not read.
template <bool FIRST>
TILEWRIGHT_INLINE void matmul(const Input *__restrict a, const Input *__restrict b,
                              Sum *__restrict sums) {
  using Product = aie::mmul<R, S, T, Input, Input>;
  constexpr unsigned A_ROW = K / S * Product::size_A;
  constexpr unsigned B_ROW = N / T * Product::size_B;
  constexpr unsigned C_ROW = N / T * Product::size_C;

  for (unsigned row = 0; row < M / R; row += 2) {
    for (unsigned column = 0; column < N / T; column += 2) {
      const Input *__restrict a0 = a + row * A_ROW;
      const Input *__restrict a1 = a0 + A_ROW;
      const Input *__restrict b0 = b + column * Product::size_B;
      const Input *__restrict b1 = b0 + Product::size_B;
      Sum *__restrict c0 = sums + row * C_ROW + column * Product::size_C;
      Sum *__restrict c1 = c0 + C_ROW;

      Product c00, c01, c10, c11;
      unsigned k = 0;
      if constexpr (FIRST) {
        const auto x0 = aie::load_v<Product::size_A>(a0);
        const auto x1 = aie::load_v<Product::size_A>(a1);
        const auto y0 = aie::load_v<Product::size_B>(b0);
        const auto y1 = aie::load_v<Product::size_B>(b1);
        c00.mul(x0, y0);
        c01.mul(x0, y1);
        c10.mul(x1, y0);
        c11.mul(x1, y1);
        k = 1;
      } else {
        c00 = Product(aie::load_v<Product::size_C>(c0));
        c01 = Product(aie::load_v<Product::size_C>(c0 + Product::size_C));
        c10 = Product(aie::load_v<Product::size_C>(c1));
        c11 = Product(aie::load_v<Product::size_C>(c1 + Product::size_C));
      }
      TILEWRIGHT_PRAGMA(clang loop min_iteration_count(3))
      for (; k < K / S; ++k) {
        const auto x0 = aie::load_v<Product::size_A>(a0 + k * Product::size_A);
        const auto x1 = aie::load_v<Product::size_A>(a1 + k * Product::size_A);
        const auto y0 = aie::load_v<Product::size_B>(b0 + k * B_ROW);
        const auto y1 = aie::load_v<Product::size_B>(b1 + k * B_ROW);
        c00.mac(x0, y0);
        c01.mac(x0, y1);
        c10.mac(x1, y0);
        c11.mac(x1, y1);
      }
      aie::store_v(c0, c00.template to_vector<Sum>());
      aie::store_v(c0 + Product::size_C, c01.template to_vector<Sum>());
      aie::store_v(c1, c10.template to_vector<Sum>());
      aie::store_v(c1 + Product::size_C, c11.template to_vector<Sum>());
    }
  }
}

// ---- The epilogue ------------------------------------------------------------------------------

// The epilogue works on blocks of 4 rows × 8 columns. In memory a block is contiguous: rows of 8
// where a micro-tile is 8 wide, two neighbouring 4×4 micro-tiles where it is 4 wide.
constexpr unsigned LANES = 32;
constexpr unsigned ROWS = M / 4, COLUMNS = N / 8;
// Blocks of rows whose scales are laid out at a time, on the stack.
constexpr unsigned CHUNK = ROWS < 8 ? ROWS : 8;
constexpr unsigned ALIGNMENT = 64;

using Bf16s = aie::vector<bfloat16, LANES>;
using Int16s = aie::vector<int16, LANES>;
using Int32s = aie::vector<int32, LANES>;
using Floats = aie::accum<accfloat, LANES>;
using Ints = aie::accum<acc32, LANES>;
using Products = aie::accum<acc64, LANES>;

TILEWRIGHT_INLINE Floats floats(float value) { return Floats(aie::broadcast<float, LANES>(value)); }

TILEWRIGHT_INLINE Ints ints(int32 value) { return Ints(aie::broadcast<int32, LANES>(value)); }

TILEWRIGHT_INLINE constexpr unsigned block(unsigned row, unsigned column) {
  constexpr unsigned HIGH = R / 4;
  return (row / HIGH * COLUMNS + column) * (HIGH * LANES) + row % HIGH * LANES;
}

// A float as a sum of bfloat16: two parts hold it to 2^-17, three exactly.
struct Parts {
  Bf16s high, middle, low;
};

template <bool EXACT> TILEWRIGHT_INLINE Parts split(Floats value) {
  const Bf16s one = aie::broadcast<bfloat16, LANES>(1.0f);
  Parts parts;
  parts.high = value.template to_vector<bfloat16>();
  value = aie::msc(value, parts.high, one);
  parts.middle = value.template to_vector<bfloat16>();
  if constexpr (EXACT) {
    value = aie::msc(value, parts.middle, one);
    parts.low = value.template to_vector<bfloat16>();
  }
  return parts;
}

// x × y plus what there is, smallest products first: to 2^-15 of x × y, or 2^-22 when exact.
template <bool EXACT>
TILEWRIGHT_INLINE Floats multiply_add(Floats sum, const Parts &x, const Parts &y) {
  if constexpr (EXACT) {
    sum = aie::mac(sum, x.high, y.low);
    sum = aie::mac(sum, x.middle, y.middle);
    sum = aie::mac(sum, x.low, y.high);
  }
  sum = aie::mac(sum, x.high, y.middle);
  sum = aie::mac(sum, x.middle, y.high);
  return aie::mac(sum, x.high, y.high);
}

template <bool EXACT> TILEWRIGHT_INLINE Floats multiply(const Parts &x, const Parts &y) {
  Floats sum = aie::mul(x.high, y.middle);
  if constexpr (EXACT) {
    sum = aie::mac(sum, x.high, y.low);
    sum = aie::mac(sum, x.middle, y.middle);
    sum = aie::mac(sum, x.low, y.high);
  }
  sum = aie::mac(sum, x.middle, y.high);
  return aie::mac(sum, x.high, y.high);
}

// Integers below 2^31 − 2^15 as floats, rounded once. An integer that is added to the bits of
// 1.5 × 2^23 is a float whose value grows by as much; upper and lower half go that way one by one.
TILEWRIGHT_INLINE Floats to_floats(Ints value) {
  const Int16s high = value.template to_vector<int16>(16);
  const Ints low = aie::sub(value, Ints(high, 16));
  const Floats upper =
      aie::sub(aie::add(Ints(high, 0), ints(0x53400000)).template cast_to<accfloat>(),
               floats(0x1.8p39f));
  const Floats lower = aie::sub(aie::add(low, ints(0x4b400000)).template cast_to<accfloat>(),
                                floats(0x1.8p23f));
  return aie::add(upper, lower);
}

// Values of 8 columns for each row of a block.
TILEWRIGHT_INLINE Floats columns(const float *values) {
  if constexpr (T == 8) {
    const auto row = aie::load_v<8>(values);
    return Floats(aie::concat(row, row, row, row));
  } else {
    const auto left = aie::load_v<4>(values);
    const auto right = aie::load_v<4>(values + 4);
    return Floats(aie::concat(left, left, left, left, right, right, right, right));
  }
}

// Values of 4 rows for each column of a block whose rows are 8 wide.
TILEWRIGHT_INLINE Floats rows(const float *values) {
  return Floats(
      aie::concat(aie::broadcast<float, 8>(values[0]), aie::broadcast<float, 8>(values[1]),
                  aie::broadcast<float, 8>(values[2]), aie::broadcast<float, 8>(values[3])));
}

// One step of a polynomial in integers: p × x + coefficient × 2^UP, divided by 2^DOWN.
template <int UP, int DOWN = UP>
TILEWRIGHT_INLINE Int16s step(const Int16s &p, const Int16s &x, int16 coefficient) {
  const Products start(aie::broadcast<int16, LANES>(coefficient), UP);
  return aie::mac(start, p, x).template to_vector<int16>(DOWN);
}

// The exact GELU: x Φ(x) = max(x, 0) − a Q(a), with a = |x| and Q(a) = erfc(a / √2) / 2.
//
// Q falls from 1/2 to 2^-130 and has to be right relative to itself. Its logarithm is smooth:
// −log2 Q(a) = 3/4 a² + L(a), where L moves by a few units only. 16-bit integers hold L and a
// power of two between 1 and 2 as precisely as needed, and a core multiplies 32 of them at once,
// with twice the bits of a bfloat16. The quotient of the exponent stays an integer until the end.
//
// Error before the last rounding: below 2^-10 of the result. Results below 2^-126 in magnitude
// come out as anything between −2^-126 and 0, and as 0 from x = −13.3 down.
TILEWRIGHT_INLINE Floats gelu(Floats x) {
  const Int32s bits = x.template to_vector<float>().template cast_to<int32>();
  const Floats positive(aie::max(bits, int32(0)).template cast_to<float>());
  // Positive floats order as their bits do. From 13.625 = 0x415a0000 on, a Q(a) is 0.
  const Int32s magnitude = aie::min(aie::bit_and(int32(0x7fffffff), bits), int32(0x415a0000));
  const Floats a(magnitude.template cast_to<float>());

  // a with 19 fractional bits: the bits of 16 + a count from those of 16 in steps of 2^-19.
  const Ints fixed =
      aie::sub(aie::add(a, floats(16.0f)).template cast_to<acc32>(), ints(0x41800000));
  // With 11, 10, 6 and 5 of them, and with 16 what 10 leave out.
  const Int16s a11 = fixed.template to_vector<int16>(8);
  const Int16s a10 = fixed.template to_vector<int16>(9);
  const Int16s a6 = fixed.template to_vector<int16>(13);
  const Int16s a5 = fixed.template to_vector<int16>(14);
  const Int16s rest = aie::sub(fixed, Ints(a10, 9)).template to_vector<int16>(3);

  // −L(a) − 1/2 on [0, 13.3] with 13 fractional bits, in t = (a − 6.8125) / 8 with 14 of them.
  // Fitted at Chebyshev points, off by 2^-12 at most.
  const Int16s t = aie::sub(a11, int16(13952));
  Int16s p = aie::broadcast<int16, LANES>(int16(3375));
  p = step<14>(p, t, -4446);
  p = step<14>(p, t, 1088);
  p = step<14>(p, t, -1539);
  p = step<14>(p, t, 4193);
  p = step<14>(p, t, -5375);
  p = step<14, 15>(p, t, 22245); // up to 4.3: 12 fractional bits
  p = step<13>(p, t, 12264);
  p = step<14>(p, t, -26982);

  // log2 Q(a) − 1/2 with 22 fractional bits. 3/4 a² is 3/4 a10² + 3/2 a rest, the square of the
  // rest being nothing.
  Products y(p, 9);
  y = aie::msc(y, a10, aie::add(a10, a10));
  y = aie::msc(y, a10, a10);
  y = aie::msc(y, aie::add(a6, a5), rest);

  // The nearest integer, and what is left in −1/2 to 1/2 with 15 fractional bits.
  const Int16s exponent = y.template to_vector<int16>(22);
  const Int16s f = aie::sub(y, Products(exponent, 22)).template to_vector<int16>(7);
  // 2^(f + 1/2) − 1 with 14 fractional bits: the fraction of a float between 1 and 2. Off by
  // 2^-13 at most.
  Int16s power = aie::broadcast<int16, LANES>(int16(1294));
  power = step<15>(power, f, 5622);
  power = step<15>(power, f, 16060);
  power = step<15>(power, f, 6785);
  const Floats mantissa = aie::add(Ints(power, 9), ints(0x3f800000)).template cast_to<accfloat>();

  // The exponent is added last, to the bits of the product, where it can do no harm: below the
  // smallest exponent the sum is negative and becomes 0, for a = 0 too.
  const Floats product = multiply<false>(split<false>(a), split<false>(mantissa));
  const Floats scaled =
      aie::add(product.template cast_to<acc32>(), Ints(exponent, 23)).template cast_to<accfloat>();
  const Int32s tail =
      aie::max(scaled.template to_vector<float>().template cast_to<int32>(), int32(0));
  return aie::sub(positive, Floats(tail.template cast_to<float>()));
}

// Scales of a block: of its columns, and where the parts of those of its rows lie.
struct Scales {
  Parts column;
  const bfloat16 *row;
};

// One block, from sums to results.
template <int CODE>
TILEWRIGHT_INLINE void finish(const Sum *__restrict sums, bfloat16 *__restrict c, const Floats &bias,
                              const Scales &scales) {
  // The tail of GELU multiplies a relative error of its argument by up to 175.
  constexpr bool EXACT = CODE == 2;
  Floats value;
  if constexpr (SCALED) {
    Parts row;
    row.high = aie::load_v<LANES>(scales.row);
    row.middle = aie::load_v<LANES>(scales.row + LANES);
    if constexpr (EXACT)
      row.low = aie::load_v<LANES>(scales.row + 2 * LANES);
    const Parts scale = split<EXACT>(multiply<EXACT>(row, scales.column));
    const Parts sum = split<EXACT>(to_floats(Ints(aie::load_v<LANES>(sums))));
    if constexpr (CODE == 0)
      value = multiply<EXACT>(sum, scale);
    else
      value = multiply_add<EXACT>(bias, sum, scale);
  } else {
    value = Floats(aie::load_v<LANES>(sums));
    if constexpr (CODE != 0)
      value = aie::add(value, bias);
  }
  if constexpr (CODE == 2)
    value = gelu(value);
  aie::store_v(c, value.template to_vector<bfloat16>());
}

// CODE: 0 scales, 1 adds the bias, 2 applies GELU too.
template <int CODE>
TILEWRIGHT_INLINE void epilogue(const Sum *__restrict sums, const float *__restrict row_scales,
                                const float *__restrict column_scales,
                                const float *__restrict biases, bfloat16 *__restrict c) {
  constexpr bool EXACT = CODE == 2;
  constexpr unsigned PARTS = EXACT ? 3 : 2;
  alignas(ALIGNMENT) bfloat16 laid_out[SCALED ? CHUNK * PARTS * LANES : 1];

  for (unsigned first = 0; first < ROWS; first += CHUNK) {
    const unsigned count = ROWS - first < CHUNK ? ROWS - first : CHUNK;
    if constexpr (SCALED) {
      for (unsigned row = 0; row < count; ++row) {
        const Parts parts = split<EXACT>(rows(row_scales + 4 * (first + row)));
        bfloat16 *place = laid_out + row * PARTS * LANES;
        aie::store_v(place, parts.high);
        aie::store_v(place + LANES, parts.middle);
        if constexpr (EXACT)
          aie::store_v(place + 2 * LANES, parts.low);
      }
    }
    for (unsigned column = 0; column < COLUMNS; ++column) {
      Scales scales;
      if constexpr (SCALED)
        scales.column = split<EXACT>(columns(column_scales + 8 * column));
      Floats bias;
      if constexpr (CODE != 0)
        bias = columns(biases + 8 * column);
      TILEWRIGHT_PRAGMA(clang loop min_iteration_count(2))
      for (unsigned row = 0; row < count; ++row) {
        scales.row = laid_out + row * PARTS * LANES;
        const unsigned offset = block(first + row, column);
        finish<CODE>(sums + offset, c + offset, bias, scales);
      }
    }
  }
}

} // namespace

extern "C" {

// sums = a × b for the first K tile of an output tile, sums += a × b for the others.
void matmul_npu2_i8_128x32x64(const int8 *a, const int8 *b, int32 *sums, int32 k_tile) {
  if (k_tile == 0)
    matmul<true>(a, b, sums);
  else
    matmul<false>(a, b, sums);
}

// Narrows the sums to bfloat16, to nearest even. The parameters are floats in tiles of A and B:
// a scale per row in A's; a scale per column and then a bias per column in B's.
void epilogue_npu2_i8_128x32x64(const int32 *sums, const int8 *a_parameters, const int8 *b_parameters,
    bfloat16 *c, int32 code) {
  const float *row_scales = reinterpret_cast<const float *>(a_parameters);
  const float *column_scales = reinterpret_cast<const float *>(b_parameters);
  const float *biases = column_scales + N;
  aie::set_rounding(aie::rounding_mode::conv_even);
  if (code == 0)
    epilogue<0>(sums, row_scales, column_scales, biases, c);
  else if (code == 1)
    epilogue<1>(sums, row_scales, column_scales, biases, c);
  else
    epilogue<2>(sums, row_scales, column_scales, biases, c);
}

} // extern "C"
