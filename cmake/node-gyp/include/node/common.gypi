# Stands in for Node's headers, which node-gyp would download: CMake compiles, against Node-API's headers from npm.
{
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': {'Debug': {}, 'Release': {}},
  },
}
