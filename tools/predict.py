from resdet.cli.predict import main

main()
