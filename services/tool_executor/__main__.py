"""python -m services.tool_executor"""

from services.tool_executor.main import main

main()
