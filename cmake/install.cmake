# Headers, the find_package files, the pkg-config file and the licence.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/precis)  # share/, not lib/: nothing here depends on the machine

install(TARGETS precis EXPORT precis-targets
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILE_SET lanes DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT precis-targets NAMESPACE precis:: DESTINATION ${package_dir})

# One export a component: asking for precis alone must not ask for Eigen.
foreach(component IN LISTS precis_components)
  install(TARGETS precis_${component} EXPORT precis-${component}-targets
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT precis-${component}-targets NAMESPACE precis:: DESTINATION ${package_dir})
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/precis-config.cmake.in
  ${PROJECT_BINARY_DIR}/precis-config.cmake INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/precis-config-version.cmake
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/precis-config.cmake ${PROJECT_BINARY_DIR}/precis-config-version.cmake
  DESTINATION ${package_dir})

file(RELATIVE_PATH up_to_prefix /${CMAKE_INSTALL_DATADIR}/pkgconfig /)  # relative to its own place: it can move
configure_file(${PROJECT_SOURCE_DIR}/cmake/precis.pc.in ${PROJECT_BINARY_DIR}/precis.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/precis.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/precis)
