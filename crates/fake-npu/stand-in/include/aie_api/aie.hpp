// Only looked for, never compiled: see ../../README.md.
