// placeholder until the JavaScript layer compiles
