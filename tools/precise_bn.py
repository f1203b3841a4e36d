from resdet.cli.precise_bn import main

if __name__ == "__main__":
    main()
