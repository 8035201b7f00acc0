# Warnings are errors in this project's own translation units; nobody who uses precis::precis sees these flags.
add_library(precis_warnings INTERFACE)
target_compile_options(precis_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
