"""Where updates come from: ccxt classes, polling, recorded frames. The only room that imports ccxt."""
