// says: precis: a menu needs at least one codec
#include <precis/core/menu.hpp>

int main() { return static_cast<int>(precis::menu<>::size); }
