"""A sandbox in ten lines. A server must be running: ``sandlot serve``."""

from sandlot import Sandbox

with Sandbox.create("code-interpreter") as sandbox:
    sandbox.files.write("numbers.csv", "x,y\n1,2\n3,4\n")
    sandbox.run_code("import pandas as pd; table = pd.read_csv('numbers.csv')")
    execution = sandbox.run_code("int(table.y.sum())")
    print("sum of y:", execution.text)
    print("kernel:", sandbox.commands.run("uname -sr").stdout.strip())
    mistake = sandbox.run_code("table.z")
    if mistake.error:
        print("the agent's mistake comes back as data:", mistake.error)
