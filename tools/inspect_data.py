from resdet.cli.inspect_data import main

main()
