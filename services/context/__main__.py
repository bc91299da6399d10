"""python -m services.context"""

from services.context.main import main

main()
