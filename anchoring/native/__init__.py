def compiler():
    return None
class Unsupported(Exception): ...
def compile_steps(*a, **k):
    raise Unsupported("stub")
