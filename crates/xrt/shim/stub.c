/* Nothing: a library of XRT in name only, so that the shim can be linked where there is none. */
typedef int tilewright_nothing;
