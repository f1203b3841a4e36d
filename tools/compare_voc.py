from resdet.cli.compare_voc import main

if __name__ == "__main__":
    main()
